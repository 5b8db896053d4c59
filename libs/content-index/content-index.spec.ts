import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { hashPage, hashPages, pageBytes, type PageHasher } from '@dormouse/checkpoint';
import {
  buildContentIndex,
  ContentIndex,
  contentIndexFile,
  moveContentIndexes,
  type BuildProgress,
} from '@dormouse/content-index';

const contentKey = Buffer.alloc(32, 0x4b);
const hasher: PageHasher = {
  allocate: (bytes) => Buffer.alloc(bytes),
  hash: (memory, offsets) => Promise.resolve(hashPages(contentKey, memory, offsets)),
};

let directory: string;
let image: string;
let indexFile: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-index-'));
  image = join(directory, 'image');
  indexFile = join(directory, 'images', 'one.index');
});
afterEach(() => rm(directory, { recursive: true }));

const block = (fill: number): Buffer => Buffer.alloc(pageBytes, fill);
const build = (
  signal = new AbortController().signal,
  onProgress: (progress: BuildProgress) => void = () => undefined,
) => buildContentIndex({ image, indexFile, contentKey, hasher, onProgress, signal });
const load = (key = contentKey) => ContentIndex.load(indexFile, { image, contentKey: key });
const find = (index: ContentIndex, page: Buffer): number => index.lookup(hashPage(contentKey, page), 0);

test('every content is found in the first block that has it; zeros and what is not there are not', async () => {
  const fills = [7, 0, 8, 7, 9, 0];
  writeFileSync(image, Buffer.concat([...fills.map(block), Buffer.alloc(100, 5)]));
  expect(await build()).toEqual({ entries: 3 });
  const index = (await load())!;
  expect([7, 8, 9, 10, 0].map((fill) => find(index, block(fill)))).toEqual([0, 2, 4, -1, -1]);
  expect(index.size).toBe(3);
  expect(statSync(indexFile).mode & 0o777).toBe(0o600);
});

test('an index answers as the image is read, whatever is in the image', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(600), { maxLength: 900, size: 'max' }), async (seeds) => {
      const contentOf = (seed: number): Buffer => {
        const page = block(0);
        page.writeUInt32LE(seed, 2048);
        return page;
      };
      writeFileSync(image, Buffer.concat(seeds.map(contentOf)));
      await build();
      const index = (await load())!;
      for (const seed of [...new Set(seeds), 601]) {
        expect(find(index, contentOf(seed))).toBe(seed === 0 ? -1 : seeds.indexOf(seed));
      }
    }),
    { numRuns: 20 },
  );
});

test('the file of a qcow2 image is indexed where its clusters lie in it', async () => {
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', image, '64M']);
  execFileSync('qemu-io', ['-c', 'write -P 0x55 1M 128k', '-c', 'write -P 0x66 9M 64k', image], { stdio: 'ignore' });
  await build();
  const index = (await load())!;
  for (const fill of [0x55, 0x66]) {
    const at = find(index, block(fill));
    expect(at).toBeGreaterThan(0);
    expect(
      readFileSync(image)
        .subarray(at * pageBytes, (at + 1) * pageBytes)
        .equals(block(fill)),
    ).toBe(true);
  }
});

test('an index of another state of the image, of another key, or none at all, is none', async () => {
  writeFileSync(image, Buffer.concat([1, 2].map(block)));
  expect(await load()).toBeNull();
  await build();
  expect(await load(Buffer.alloc(32, 1))).toBeNull();
  utimesSync(image, 1, 1);
  expect(await load()).toBeNull();
  await build();
  expect(await load()).not.toBeNull();
  writeFileSync(image, block(1));
  expect(await load()).toBeNull();
});

test('a build that is called off leaves what was there before, and tells how far it was', async () => {
  writeFileSync(image, Buffer.concat(Array.from({ length: 3_000 }, (_, n) => block(1 + (n % 200)))));
  await build();
  const stop = new AbortController();
  const told: BuildProgress[] = [];
  await expect(
    build(stop.signal, (progress) => {
      told.push(progress);
      stop.abort();
    }),
  ).rejects.toMatchObject({ code: 'CANCELLED' });
  expect(told[0]).toEqual({ readBytes: 256 * pageBytes, totalBytes: 3_000 * pageBytes });
  expect((await load())!.size).toBe(200);
});

test('a draft that a killed build has left is written over', async () => {
  writeFileSync(image, block(3));
  await build();
  writeFileSync(`${indexFile}.new`, 'half of an index');
  await rm(indexFile);
  expect(await load()).toBeNull();
  await build();
  expect((await load())!.size).toBe(1);
});

test('an index that was changed or cut, anywhere, is refused by name', async () => {
  writeFileSync(image, Buffer.concat([1, 2, 3].map(block)));
  await build();
  const whole = readFileSync(indexFile);
  const damage = { code: 'CONTENT_INDEX_CORRUPT', details: { file: indexFile } };
  for (let at = 48; at < whole.length; at++) {
    if (at >= 80 && at < 96) continue; // of another state of the image: none
    const flipped = Buffer.from(whole);
    flipped[at]! ^= 1 << (at % 8);
    writeFileSync(indexFile, flipped);
    await expect(load()).rejects.toMatchObject(damage);
  }
  for (let length = 0; length < whole.length; length += 7) {
    writeFileSync(indexFile, whole);
    truncateSync(indexFile, length);
    await expect(load()).rejects.toMatchObject(damage);
  }
});

test('whatever lies in its place, an index is refused, or none, and never looked through for ever', async () => {
  writeFileSync(image, Buffer.concat([1, 2, 3].map(block)));
  await build();
  const whole = readFileSync(indexFile);
  const mutated = fc
    .tuple(fc.nat(whole.length - 1), fc.uint8Array({ minLength: 1, maxLength: 60 }))
    .map(([at, some]) => Buffer.concat([whole.subarray(0, at), some, whole.subarray(at + some.length)]));
  await fc.assert(
    fc.asyncProperty(fc.oneof(mutated, fc.uint8Array({ maxLength: 300 })), async (given) => {
      writeFileSync(indexFile, given);
      const index = await load().catch((error: { code: string }) => error.code);
      if (index instanceof ContentIndex) expect(find(index, block(2))).toBe(1);
      else expect([null, 'CONTENT_INDEX_CORRUPT']).toContain(index);
    }),
    { numRuns: 500 },
  );
});

test('the index of an image is named by where the image really is', async () => {
  writeFileSync(image, '');
  const name = await contentIndexFile('/disks', image);
  expect(name).toMatch(/^\/disks\/\.images\/[0-9a-f]{32}\.index$/);
  expect(await contentIndexFile('/disks', join(directory, '.', 'image'))).toBe(name);
});

test('an image that was replaced by one of the same size and time has no index yet', async () => {
  writeFileSync(image, block(1));
  utimesSync(image, 1_000, 1_000);
  await build();
  expect(await load()).not.toBeNull();
  writeFileSync(`${image}.next`, block(2));
  utimesSync(`${image}.next`, 1_000, 1_000);
  renameSync(`${image}.next`, image);
  expect(await load()).toBeNull();
  await build();
  writeFileSync(image, block(3)); // in its place
  utimesSync(image, 1_000, 1_000);
  expect(await load()).toBeNull();
});

test('indexes of an earlier version move out of the folder that a desktop called images has, and nothing else does', async () => {
  const name = `${'a'.repeat(32)}.index`;
  mkdirSync(join(directory, 'images'));
  writeFileSync(join(directory, 'images', name), 'an index');
  writeFileSync(join(directory, 'images', 'one.0.qcow2'), 'a layer');
  await moveContentIndexes(directory);
  expect(readFileSync(join(directory, '.images', name), 'utf8')).toBe('an index');
  expect(readdirSync(join(directory, 'images'))).toEqual(['one.0.qcow2']);
  await rm(join(directory, 'images'), { recursive: true }); // as when the desktop is deleted
  await moveContentIndexes(directory);
  expect(readdirSync(join(directory, '.images'))).toEqual([name]);
});

test('a folder of indexes alone goes with them', async () => {
  mkdirSync(join(directory, 'images'));
  writeFileSync(join(directory, 'images', `${'b'.repeat(32)}.index`), '');
  await moveContentIndexes(directory);
  expect(readdirSync(directory).sort()).toEqual(['.images']);
});

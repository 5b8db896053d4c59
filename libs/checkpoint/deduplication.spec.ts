import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import type { BlobStore } from '@dormouse/storage';
import * as fixture from './checkpoint-fixture';
import { CheckpointWriter } from './checkpoint-writer';
import { ContentTable } from './content-table';
import type { DiskBlocks, DiskCatalog } from './disk-catalog';
import { pageBytes, pageHashBytes } from './layout';
import { consecutive, hashPages } from './page-hash';
import { blockPlace } from './places';
import { PreviousCheckpoint } from './previous-checkpoint';

const { identity, machine, wakePack, wild } = fixture;
const idOf = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

let files: fixture.TestStore;
let store: BlobStore;

beforeEach(async () => {
  files = await fixture.TestStore.create();
  store = await files.open();
});
afterEach(() => files.remove());

const open = (checkpointId: string, disks?: DiskBlocks): Promise<fixture.OpenedCheckpoint> =>
  fixture.open(store, { ...identity, checkpointId }, fixture.keys, disks);

const pagesOf = (seeds: readonly number[]): (Buffer | null)[] => seeds.map((seed) => (seed === 0 ? null : wild(seed)));

test('content that stands in the checkpoint already is not stored again, wherever in memory it is', async () => {
  const seeds = Array.from({ length: 600 }, (_, page) => 1 + (page % 50));
  await fixture.write(store, pagesOf(seeds), { ...identity, checkpointId: idOf(1) });
  const reader = await open(idOf(1));
  expect(reader.manifest.pages).toMatchObject({ total: 600, stored: 50, duplicate: 550 });
  expect(reader.manifest.bytes.written).toBeLessThan(60 * pageBytes);
  expect(fixture.samePages(await fixture.readPages(reader), pagesOf(seeds))).toBe(true);
});

test('a second checkpoint stores what has changed, and stays whole when the first is gone', async () => {
  const first = Array.from({ length: 500 }, (_, page) => page + 1);
  const second = first.map((seed, page) => (page % 50 === 0 ? 10_000 + page : page === 7 ? 0 : seed));
  await fixture.write(store, pagesOf(first), { ...identity, checkpointId: idOf(1) });
  await fixture.writeAfter(store, idOf(1), pagesOf(second), idOf(2));
  await fixture.collect(store, { kept: [idOf(2)] });
  const reader = await open(idOf(2));
  expect(reader.manifest.pages).toMatchObject({ total: 500, zero: 1, previous: 489, stored: 10, duplicate: 0 });
  expect(reader.manifest.lineage).toEqual({ previous: idOf(1), depth: 1 });
  expect(reader.manifest.packs.map(({ checkpointId }) => checkpointId)).toEqual(
    expect.arrayContaining([idOf(1), idOf(2)]),
  );
  expect(reader.manifest.bytes.written).toBeLessThan(30 * pageBytes);
  expect(fixture.samePages(await fixture.readPages(reader), pagesOf(second))).toBe(true);
});

test('every checkpoint of any lineage is whole, whatever has been swept before it', async () => {
  const memory = fc.array(fc.nat(40), { minLength: 60, maxLength: 60 });
  const lineage = fc.array(fc.record({ memory, keepsLast: fc.integer({ min: 1, max: 3 }) }), {
    minLength: 2,
    maxLength: 8,
  });
  let next = 1;
  await fc.assert(
    fc.asyncProperty(lineage, async (steps) => {
      const first = next;
      for (const { memory: seeds, keepsLast } of steps) {
        const id = next++;
        if (id === first) await fixture.write(store, pagesOf(seeds), { ...identity, checkpointId: idOf(id) });
        else await fixture.writeAfter(store, idOf(id - 1), pagesOf(seeds), idOf(id));
        const kept = Array.from({ length: keepsLast }, (_, n) => id - n).filter((one) => one >= first);
        // One that went before cannot be kept again.
        const there = (await files.keys()).filter((key) => key.endsWith('/manifest'));
        const keptIds = kept.map(idOf).filter((one) => there.some((key) => key.includes(one)));
        await fixture.collect(store, { kept: keptIds });
        for (const one of keptIds) {
          const reader = await open(one);
          const expected = pagesOf(steps[kept.find((n) => idOf(n) === one)! - first]!.memory);
          expect(fixture.samePages(await fixture.readPages(reader), expected)).toBe(true);
        }
      }
    }),
    { numRuns: 25 },
  );
});

test('packs of which little is still wanted are let go', async () => {
  const first = Array.from({ length: 800 }, (_, page) => page + 1);
  const second = first.map((seed, page) => (page < 100 ? seed : 0));
  const third = second.map((seed, page) => (page === 200 ? 5_000 : seed));
  await fixture.write(store, pagesOf(first), { ...identity, checkpointId: idOf(1) });
  await fixture.writeAfter(store, idOf(1), pagesOf(second), idOf(2));
  expect((await open(idOf(2))).manifest.pages).toMatchObject({ previous: 100, stored: 0 });
  await fixture.writeAfter(store, idOf(2), pagesOf(third), idOf(3));
  const { manifest } = await open(idOf(3));
  expect(manifest.pages).toMatchObject({ previous: 0, stored: 101 });
  expect(manifest.packs.map(({ checkpointId }) => checkpointId)).toEqual([idOf(3)]);
});

describe('disks', () => {
  let directory: string;
  let layer: string;
  let image: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'dormouse-disks-'));
    [image, layer] = [join(directory, 'image'), join(directory, 'layer')];
    writeFileSync(image, Buffer.concat([1, 2, 3, 4].map(wild)));
    writeFileSync(layer, Buffer.concat([11, 12, 13, 14].map(wild)));
  });
  afterEach(() => rm(directory, { recursive: true }));

  const fileOf = (source: string): string => (source === 'image/0' ? image : layer);
  const blockOf = (source: string, block: number, count = 1): Buffer =>
    readFileSync(fileOf(source)).subarray(block * pageBytes, (block + count) * pageBytes);

  /** Everything in the two files as it is now. */
  function catalog(): DiskCatalog {
    const found = new ContentTable();
    for (const [n, file] of [image, layer].entries()) {
      const content = readFileSync(file);
      const hashes = hashPages(fixture.contentKey, content, consecutive(content.length / pageBytes));
      for (let block = 0; block < hashes.length / pageHashBytes; block++)
        found.set(hashes, block * pageHashBytes, n, block);
    }
    const files = [
      { name: 'image/0', settled: true },
      { name: 'generation-7/0', settled: false },
    ];
    return {
      files,
      find: (hashes, at) => {
        const entry = found.find(hashes, at);
        return entry < 0 ? -1 : blockPlace(found.first(entry), found.second(entry));
      },
      blocks: (file) => readFileSync(fileOf(files[file]!.name)).length / pageBytes,
      readNow: (file, block) => blockOf(files[file]!.name, block),
    };
  }
  const disks: DiskBlocks = { read: (source, block, count) => Promise.resolve(blockOf(source, block, count)) };

  test('content that stands in a file is not stored, and is read from there', async () => {
    const memory = pagesOf([2, 99, 13, 0, 2, 4]);
    await fixture.write(store, memory, { ...identity, checkpointId: idOf(1) }, wakePack, { disks: catalog() });
    const reader = await open(idOf(1), disks);
    expect(reader.manifest.pages).toMatchObject({ zero: 1, disk: 4, stored: 1, duplicate: 0 });
    expect(reader.manifest.diskSources).toEqual([
      { name: 'image/0', blocks: 4 },
      { name: 'generation-7/0', blocks: 4 },
    ]);
    expect(fixture.samePages(await fixture.readPages(reader), memory)).toBe(true);
  });

  test('a block the machine has overwritten before it froze is stored instead', async () => {
    const memory = pagesOf([11, 12, 13]);
    const writer = new CheckpointWriter(store, { ...identity, checkpointId: idOf(1) }, fixture.blocksOf(3), {
      keys: fixture.keys,
      hasher: fixture.hasher,
      disks: catalog(),
    });
    memory.forEach((page, n) => writer.addPage(n, page!, 0));
    writeFileSync(layer, Buffer.concat([11, 77, 13].map(wild)));
    await writer.commit(await writer.seal(wakePack, machine));
    const reader = await open(idOf(1), disks);
    expect(reader.manifest.pages).toMatchObject({ disk: 2, stored: 1 });
    expect(fixture.samePages(await fixture.readPages(reader), memory)).toBe(true);
  });

  test('a file that was changed afterwards is refused, page by page, and one that was cut as well', async () => {
    await fixture.write(store, pagesOf([1, 2, 3]), { ...identity, checkpointId: idOf(1) }, wakePack, {
      disks: catalog(),
    });
    const reader = await open(idOf(1), disks);
    const content = Buffer.from(readFileSync(image));
    content[pageBytes + 100]! ^= 1;
    writeFileSync(image, content.subarray(0, 2 * pageBytes + 50));
    const blocks = await reader.readBlocks(0, 0, 3);
    expect(() => reader.checkDiskPage(0, blocks, 0)).not.toThrow();
    for (const [page, code] of [
      [1, 'DISK_SOURCE_CHANGED'],
      [2, 'DISK_SOURCE_MISSING'],
    ] as const) {
      expect(() => reader.checkDiskPage(page, blocks, page * pageBytes)).toThrow(
        expect.objectContaining({ code, details: { source: 'image/0', block: page, page } }),
      );
    }
  });

  test('what a layer holds is known to the next save for as long as the layer stays', async () => {
    const memory = pagesOf([11, 12, ...Array.from({ length: 16 }, (_, n) => 100 + n)]);
    await fixture.write(store, memory, { ...identity, checkpointId: idOf(1) }, wakePack, { disks: catalog() });
    appendFileSync(layer, wild(15)); // a layer that is sealed does not grow; its size then is what counts
    await fixture.writeAfter(store, idOf(1), memory, idOf(2));
    expect((await open(idOf(2), disks)).manifest).toMatchObject({
      pages: { previous: 18, stored: 0 },
      diskSources: [{ name: 'generation-7/0', blocks: 4 }],
    });
    expect(fixture.samePages(await fixture.readPages(await open(idOf(2), disks)), memory)).toBe(true);
    const previous = await PreviousCheckpoint.load(
      store,
      { ...identity, checkpointId: idOf(2) },
      fixture.dataKey,
      () => false,
    );
    await fixture.write(store, memory, { ...identity, checkpointId: idOf(3) }, wakePack, { previous });
    expect((await open(idOf(3), disks)).manifest).toMatchObject({
      pages: { previous: 16, stored: 2 },
      diskSources: [],
    });
  });
});

test('a content table answers as a map does', () => {
  const hash = fc.tuple(fc.nat(5), fc.nat(3000)).map(([low, more]) => {
    const bytes = Buffer.alloc(pageHashBytes);
    bytes.writeUInt32LE(low, 0); // many in the same bucket
    bytes.writeUInt32LE(more, 8);
    return bytes;
  });
  fc.assert(
    fc.property(fc.array(fc.tuple(hash, fc.nat(), fc.nat()), { maxLength: 3_000, size: 'max' }), (entries) => {
      const table = new ContentTable();
      const expected = new Map<string, number[]>();
      for (const [bytes, first, second] of entries) {
        const known = table.find(bytes, 0) >= 0;
        expect(known).toBe(expected.has(bytes.toString('hex')));
        table.set(bytes, 0, first, second);
        expected.set(bytes.toString('hex'), [first, second]);
      }
      expect(table.size).toBe(expected.size);
      for (const [hex, [first, second]] of expected) {
        const entry = table.find(Buffer.from(hex, 'hex'), 0);
        expect([table.first(entry), table.second(entry)]).toEqual([first, second]);
      }
    }),
    { numRuns: 4 },
  );
});

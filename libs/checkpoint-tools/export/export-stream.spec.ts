import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { MigrationStreamReader, pageBytes } from '@dormouse/migration-stream';
import fc from 'fast-check';
import * as handmade from '../handmade-checkpoint';
import { exportStream, type Exported, type ExportOptions } from './export-stream';
import { exportToFile } from './export-to-file';

const { page, samplePlan, TestShelf } = handmade;
/** What a stream's end is looked for by: one section with its footer. */
const deviceState = Buffer.concat([
  Buffer.from('0400000007', 'hex'),
  Buffer.alloc(300, 0xab),
  Buffer.from('7e00000007', 'hex'),
]);
const configuration = Buffer.concat([Buffer.of(0, 0, 0, 10), Buffer.from('pc-q35-7.2')]);
const plan = { ...samplePlan(), deviceState, configuration };
const keys = { dataKey: { keyId: plan.keyId, key: plan.dataKey }, contentKey: plan.contentKey };
const folder = `desktops/${plan.desktopId}/checkpoints/${plan.checkpointId}`;

let shelf: handmade.TestShelf;
let objects: Map<string, Buffer>;

beforeEach(async () => {
  shelf = await TestShelf.make();
  objects = await shelf.put(plan);
});
afterEach(() => shelf.remove());

const options = async (): Promise<ExportOptions> => ({
  store: await shelf.store(),
  desktopId: plan.desktopId,
  checkpointId: plan.checkpointId,
  keys,
  diskFiles: shelf.file,
});

async function exported(): Promise<{ stream: Buffer; result: Exported }> {
  const chunks: Buffer[] = [];
  const result = await exportStream(await options(), async (chunk) => void chunks.push(Buffer.from(chunk)));
  return { stream: Buffer.concat(chunks), result };
}

test('the stream has every page once, in its block, and configuration and devices as they were', async () => {
  const { stream, result } = await exported();
  const pages = new Map<number, Buffer>();
  const firstOf = [0, 50];
  const add = (block: number, index: number, content: Buffer): void => {
    expect(pages.has(firstOf[block]! + index)).toBe(false);
    pages.set(firstOf[block]! + index, content);
  };
  const reader = new MigrationStreamReader({
    blocks: (blocks) => expect([...blocks]).toEqual(plan.blocks),
    zeroPage: (block, index) => add(block, index, Buffer.alloc(page)),
    page: (block, index, source, at) => add(block, index, Buffer.from(source.subarray(at, at + pageBytes))),
  });
  reader.push(stream);
  const end = reader.finish();
  expect(end.configuration.equals(configuration)).toBe(true);
  expect(end.deviceState.equals(deviceState)).toBe(true);
  expect(pages.size).toBe(64);
  for (const [number, content] of pages) expect(content.equals(handmade.contentOf(plan, number))).toBe(true);
  expect(result).toEqual({ bytes: stream.length, pages: 64, diskGeneration: '7c9e6679-7425-40de-944b-e07fc1f90ae7' });
});

test('one bit flipped anywhere in what it reads is a typed error that names the object, or changes nothing', async () => {
  const { stream: whole } = await exported();
  const readable = [...objects].filter(([key]) => !key.endsWith('/known-pages'));
  const places = fc
    .record({
      object: fc.nat(),
      position: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
      bit: fc.nat(7),
    })
    .map(({ object, position, bit }) => {
      const [key, content] = readable[object % readable.length]!;
      const flipped = Buffer.from(content);
      flipped[Math.floor(position * content.length)]! ^= 1 << bit;
      return { key, content, flipped };
    });
  await fc.assert(
    fc.asyncProperty(places, async ({ key, content, flipped }) => {
      await shelf.write(shelf.object(key), flipped);
      // In a frame that no page needs, it is not read at all.
      await exported().then(
        ({ stream }) => expect(stream.equals(whole)).toBe(true),
        (error) => expect(error).toMatchObject({ name: 'DormouseError', details: { object: key } }),
      );
      await shelf.write(shelf.object(key), content);
    }),
    { numRuns: 200 },
  );
});

test('a disk block that changed, and a disk file that is gone, are named', async () => {
  const { name, content } = plan.sources[1]!;
  const changed = Buffer.from(content);
  changed[12 * page]! ^= 1;
  await shelf.write(shelf.file(name), changed);
  await expect(exported()).rejects.toMatchObject({
    code: 'DISK_SOURCE_CHANGED',
    details: { object: name, offset: 12 * page, page: 6 },
  });
  await rm(shelf.file(name));
  await expect(exported()).rejects.toMatchObject({ code: 'DISK_SOURCE_MISSING', details: { object: name } });
});

test('another key is refused before a byte is written', async () => {
  const other = { ...(await options()), keys: { ...keys, dataKey: { ...keys.dataKey, key: Buffer.alloc(32) } } };
  const write = jest.fn();
  await expect(exportStream(other, write)).rejects.toMatchObject({ code: 'CHECKPOINT_KEY_MISMATCH' });
  expect(write).not.toHaveBeenCalled();
});

describe('into a file', () => {
  const target = (): string => join(shelf.directory, 'ada.stream');
  const left = async (): Promise<string[]> =>
    (await readdir(shelf.directory)).filter((name) => name.includes('stream'));

  test('it is all there, and for its owner only', async () => {
    const result = await exportToFile(await options(), target());
    const { stream } = await exported();
    expect((await readFile(target())).equals(stream)).toBe(true);
    expect(result.bytes).toBe(stream.length);
    expect((await stat(target())).mode & 0o777).toBe(0o600);
    expect(await left()).toEqual(['ada.stream']);
  });

  test('that failed half way, what was there before is there still and nothing else', async () => {
    await shelf.write(target(), Buffer.from('before'));
    const pack = `${folder}/pack-00001`;
    await shelf.write(shelf.object(pack), objects.get(pack)!.map((byte) => byte ^ 1) as Buffer);
    await expect(exportToFile(await options(), target())).rejects.toMatchObject({ details: { object: pack } });
    expect(await readFile(target(), 'utf8')).toBe('before');
    expect(await left()).toEqual(['ada.stream']);
  });

  test('that cannot be made, the error names it', async () => {
    const nowhere = join(shelf.directory, 'nowhere', 'ada.stream');
    await expect(exportToFile(await options(), nowhere)).rejects.toMatchObject({
      code: 'STORAGE_FAILED',
      message: expect.stringContaining(nowhere),
    });
  });
});

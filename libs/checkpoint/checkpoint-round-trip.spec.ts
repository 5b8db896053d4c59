import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import type { BlobStore } from '@dormouse/storage';
import { CheckpointReader, readManifest } from './checkpoint-reader';
import { CheckpointWriter } from './checkpoint-writer';
import * as fixture from './checkpoint-fixture';
import { framePages, pageBytes } from './layout';
import { objectKeys } from './object-keys';

const { dull, identity, machine, TestStore, wakePack, wild } = fixture;

let files: fixture.TestStore;
let store: BlobStore;

beforeEach(async () => {
  files = await TestStore.create();
  store = await files.open();
});
afterEach(() => files.remove());

const open = (checkpointId = identity.checkpointId): Promise<CheckpointReader> =>
  CheckpointReader.open(store, identity.desktopId, checkpointId);

/** What a page can be given as. Seeds are few, so that the same content comes again. */
const content = fc.oneof(
  fc.constant(null),
  fc.nat(9).map((seed) => dull(seed)),
  fc.nat(9).map((seed) => wild(seed)),
);

test('what was given last for each page is what is read, in whatever order and however often pages came', async () => {
  let run = 0;
  const pageCount = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 250, max: 700 }));
  const input = pageCount.chain((pages) =>
    fc.record({
      pages: fc.constant(pages),
      early: fc.array(fc.tuple(fc.nat(pages - 1), content), { maxLength: 400 }),
      rest: fc.array(content, { minLength: 1, maxLength: 20 }),
      late: fc.array(fc.tuple(fc.nat(pages - 1), content), { maxLength: 40 }),
      runFrames: fc.integer({ min: 1, max: 20 }),
    }),
  );
  await fc.assert(
    fc.asyncProperty(input, async ({ pages, early, rest, late, runFrames }) => {
      const checkpointId = `run-${run++}`;
      const blocks = fixture.blocksOf(pages);
      const writer = new CheckpointWriter(store, { ...identity, checkpointId }, blocks);
      const expected = new Map<number, Buffer | null>();
      const give = async (page: number, given: Buffer | null): Promise<void> => {
        const source = Buffer.concat([Buffer.alloc(7, 0xff), given ?? Buffer.alloc(0), Buffer.alloc(7, 0xff)]);
        if (given === null) writer.addZeroPage(page);
        else writer.addPage(page, source, 7);
        source.fill(0xee); // the caller uses its memory again
        expected.set(page, given);
        if (writer.saturated) await writer.drained();
      };
      for (const [page, given] of early) await give(page, given);
      for (let page = 0; page < pages; page++) if (!expected.has(page)) await give(page, rest[page % rest.length]!);
      for (const [page, given] of late) await give(page, given);
      await writer.commit(await writer.seal(wakePack, machine));

      const reader = await open(checkpointId);
      const inOrder = Array.from({ length: pages }, (_, page) => expected.get(page)!);
      expect(fixture.samePages(await fixture.readPages(reader), inOrder)).toBe(true);
      expect(fixture.samePages(await fixture.readPagesInRuns(reader, runFrames), inOrder)).toBe(true);
      const { total, zero, stored, superseded } = reader.manifest.pages;
      expect({ total, zero, stored }).toEqual({
        total: pages,
        zero: inOrder.filter((page) => page === null).length,
        stored: inOrder.filter((page) => page !== null).length,
      });
      // Every slot but the last few holds a page that counts or one that was overtaken.
      expect(reader.frames.length).toBe(Math.ceil((stored + superseded) / framePages));
    }),
    { numRuns: 40 },
  );
});

test('a checkpoint exists from its commit on, and not before', async () => {
  const writer = new CheckpointWriter(store, identity, fixture.blocksOf(2));
  writer.addPage(0, dull(1), 0);
  writer.addZeroPage(1);
  const sealed = await writer.seal(wakePack, machine);
  const keys = objectKeys(identity.desktopId, identity.checkpointId);
  expect(await files.keys()).toEqual([keys.pack(0), keys.pageMap, keys.wakePack].sort());
  await expect(open()).rejects.toMatchObject({ code: 'CHECKPOINT_UNKNOWN', details: { object: keys.manifest } });
  await writer.commit(sealed);
  expect((await open()).manifest).toEqual(sealed.manifest);
});

test('manifest and wake pack hold what the machine was and what its devices were', async () => {
  await fixture.write(store, [dull(1), null, dull(2)]);
  const reader = await open();
  expect(reader.manifest).toMatchObject({ ...identity, ...machine, blocks: fixture.blocksOf(3) });
  expect(reader.wakePack.configuration.equals(wakePack.configuration)).toBe(true);
  expect(reader.wakePack.deviceState.equals(wakePack.deviceState)).toBe(true);
  expect(await readManifest(store, identity.desktopId, identity.checkpointId)).toEqual(reader.manifest);
});

test('the bytes a checkpoint is said to take are those of its objects, its manifest apart', async () => {
  const writer = new CheckpointWriter(store, identity, fixture.blocksOf(300));
  for (let page = 0; page < 300; page++) writer.addPage(page, wild(page), 0);
  const { storedBytes } = await writer.seal(wakePack, machine);
  let bytes = 0;
  for await (const object of store.list('')) bytes += object.bytes;
  expect(storedBytes).toBe(bytes);
});

test('a guest of zeros takes no pack', async () => {
  await fixture.write(
    store,
    Array.from({ length: 500 }, () => null),
  );
  const reader = await open();
  expect(reader.manifest.packs).toEqual([]);
  expect(await fixture.readPages(reader)).toEqual(Array.from({ length: 500 }, () => null));
});

test('content that does not compress is stored as it is, and nothing is stored larger than it was', async () => {
  await fixture.write(store, [
    ...Array.from({ length: 16 }, (_, n) => wild(n)),
    ...Array.from({ length: 16 }, () => dull(1)),
  ]);
  const reader = await open();
  expect(reader.frames.get(0)).toMatchObject({ encoding: 0, length: framePages * pageBytes });
  expect(reader.frames.get(1).encoding).toBe(1);
  expect(reader.frames.get(1).length).toBeLessThan(200);
});

test('a copy of a page that has not left yet is replaced in place, one that has is counted as superseded', async () => {
  const writer = new CheckpointWriter(store, identity, fixture.blocksOf(257));
  writer.addPage(0, wild(1), 0);
  writer.addPage(0, wild(2), 0);
  for (let page = 1; page < 256; page++) writer.addPage(page, dull(page), 0);
  writer.addPage(0, wild(3), 0); // its batch of 256 has left
  writer.addPage(1, wild(4), 0);
  writer.addZeroPage(1);
  writer.addZeroPage(256);
  await writer.commit(await writer.seal(wakePack, machine));
  const reader = await open();
  // Page 0 once, page 1 twice: zeros take nothing's place.
  expect(reader.manifest.pages).toEqual({ total: 257, zero: 2, stored: 255, superseded: 3 });
  const pages = await fixture.readPages(reader);
  expect(pages[0]!.equals(wild(3))).toBe(true);
  expect([pages[1], pages[256]]).toEqual([null, null]);
});

test('a pack is closed before it outgrows 64 MiB, and frames are found in every pack', async () => {
  const memory = randomBytes(66 * 2 ** 20);
  const pages = memory.length / pageBytes;
  const writer = new CheckpointWriter(store, identity, fixture.blocksOf(pages));
  for (let page = 0; page < pages; page++) {
    writer.addPage(page, memory, page * pageBytes);
    if (writer.saturated) await writer.drained();
  }
  await writer.commit(await writer.seal(wakePack, machine));
  const reader = await open();
  expect(reader.manifest.packs.map(({ bytes }) => bytes)).toEqual([64 * 2 ** 20, 2 * 2 ** 20]);
  const frameBytes = framePages * pageBytes;
  for (const frame of [0, 1023, 1024, 1055]) {
    const expected = memory.subarray(frame * frameBytes, (frame + 1) * frameBytes);
    expect((await fixture.readFrame(reader, frame)).equals(expected)).toBe(true);
  }
  expect(reader.runLength(1020, 100)).toBe(4); // a read is of one pack
  const run = Buffer.concat(await fixture.readFrames(reader, 1020, 4));
  expect(run.equals(memory.subarray(1020 * frameBytes, 1024 * frameBytes))).toBe(true);
});

test('a page that never came is not invented', async () => {
  const writer = new CheckpointWriter(store, identity, fixture.blocksOf(10));
  for (const page of [0, 1, 2, 4, 5, 6, 7, 9]) writer.addPage(page, dull(page), 0);
  await expect(writer.seal(wakePack, machine)).rejects.toMatchObject({
    code: 'STREAM_MALFORMED',
    message: expect.stringContaining('2 pages'),
  });
  await writer.abort();
  expect(await files.keys()).toEqual([]);
});

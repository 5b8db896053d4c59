import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import type { BlobStore } from '@dormouse/storage';
import { readManifest } from './read-objects';
import { CheckpointWriter } from './checkpoint-writer';
import * as fixture from './checkpoint-fixture';
import { framePages, pageBytes } from './layout';
import { objectKeys } from './object-keys';

const { dull, identity, machine, TestStore, wakePack, wild } = fixture;
const options = { keys: fixture.keys, hasher: fixture.hasher };

let files: fixture.TestStore;
let store: BlobStore;

beforeEach(async () => {
  files = await TestStore.create();
  store = await files.open();
});
afterEach(() => files.remove());

const open = (checkpointId = identity.checkpointId): Promise<fixture.OpenedCheckpoint> =>
  fixture.open(store, { ...identity, checkpointId }, fixture.keys);

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
      const checkpointId = `00000000-0000-4000-8000-${String(run++).padStart(12, '0')}`;
      const blocks = fixture.blocksOf(pages);
      const writer = new CheckpointWriter(store, { ...identity, checkpointId }, blocks, options);
      const expected = new Map<number, Buffer | null>();
      const lent: { source: Buffer; until: number }[] = [];
      const give = async (page: number, given: Buffer | null): Promise<void> => {
        const source = Buffer.concat([Buffer.alloc(7, 0xff), given ?? Buffer.alloc(0), Buffer.alloc(7, 0xff)]);
        if (given === null) writer.addZeroPage(page);
        else writer.addPage(page, source, 7);
        lent.push({ source, until: writer.given });
        while ((lent[0]?.until ?? Infinity) <= writer.taken) lent.shift()!.source.fill(0xee); // it is used again
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
      const { total, zero, previous, disk, duplicate, stored } = reader.manifest.pages;
      expect({ total, zero, found: previous + disk, others: duplicate + stored }).toEqual({
        total: pages,
        zero: inOrder.filter((page) => page === null).length,
        found: 0,
        others: inOrder.filter((page) => page !== null).length,
      });
      // There are twenty contents, and none is stored twice.
      expect(reader.frames.length).toBeLessThanOrEqual(2);
    }),
    { numRuns: 40 },
  );
});

test('a checkpoint exists from its commit on, and not before', async () => {
  const writer = new CheckpointWriter(store, identity, fixture.blocksOf(2), options);
  writer.addPage(0, dull(1), 0);
  writer.addZeroPage(1);
  const sealed = await writer.seal(wakePack, machine);
  const keys = objectKeys(identity.desktopId, identity.checkpointId);
  expect(await files.keys()).toEqual([keys.pack(0), keys.pageMap, keys.knownPages, keys.wakePack].sort());
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
  expect(await readManifest(store, identity, null)).toEqual(reader.manifest);
});

test('the bytes a checkpoint is said to take are those of its objects, its manifest apart', async () => {
  const writer = new CheckpointWriter(store, identity, fixture.blocksOf(300), options);
  for (let page = 0; page < 300; page++) writer.addPage(page, wild(page), 0);
  const { manifest } = await writer.seal(wakePack, machine);
  let bytes = 0;
  for await (const object of store.list('')) bytes += object.bytes;
  expect(manifest.bytes.written).toBe(bytes);
  expect(manifest.bytes.raw).toBe(300 * pageBytes);
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
    ...Array.from({ length: 16 }, (_, n) => dull(n)),
  ]);
  const reader = await open();
  expect(reader.frames.get(0)).toMatchObject({ encoding: 0, length: framePages * pageBytes + 16 });
  expect(reader.frames.get(1).encoding).toBe(1);
  expect(reader.frames.get(1).length).toBeLessThan(1_000);
});

test('of a page that comes again while it is on its way only the last copy is stored, of one that has arrived both', async () => {
  const writer = new CheckpointWriter(store, identity, fixture.blocksOf(257), { ...options, mostRewritten: 10 });
  writer.addPage(0, wild(1), 0);
  writer.addPage(0, wild(2), 0);
  for (let page = 1; page < 255; page++) writer.addPage(page, wild(100 + page), 0);
  await new Promise((resolve) => setTimeout(resolve, 20)); // the first 256 copies are hashed by now
  writer.addPage(0, wild(3), 0);
  writer.addPage(1, wild(4), 0);
  writer.addZeroPage(1);
  writer.addZeroPage(255);
  writer.addZeroPage(256);
  await writer.commit(await writer.seal(wakePack, machine));
  const reader = await open();
  // wild(2) and the first copy of page 1 were stored for nothing; wild(1) and wild(4) never were.
  expect(reader.manifest.pages).toMatchObject({ total: 257, zero: 3, stored: 254, superseded: 2, wakeSet: 2 });
  const pages = await fixture.readPages(reader);
  expect(pages[0]!.equals(wild(3))).toBe(true);
  expect([pages[1], pages[255], pages[256]]).toEqual([null, null, null]);
  // What came more than once is what the guest was writing to, zeros among it.
  expect([...reader.wakePack.pages]).toEqual([0, 1]);
  expect(reader.wakePack.content.equals(Buffer.concat([wild(3), Buffer.alloc(pageBytes)]))).toBe(true);
});

test('a pack is closed before it outgrows 16 MiB, and frames are found in every pack', async () => {
  const memory = randomBytes(18 * 2 ** 20);
  const pages = memory.length / pageBytes;
  const writer = new CheckpointWriter(store, identity, fixture.blocksOf(pages), options);
  for (let page = 0; page < pages; page++) {
    writer.addPage(page, memory, page * pageBytes);
    if (writer.saturated) await writer.drained();
  }
  await writer.commit(await writer.seal(wakePack, machine));
  const reader = await open();
  const frameBytes = framePages * pageBytes;
  const framesInPack = 15 * 16; // with their tags, 16 MiB no longer hold 16 batches of 16 frames
  const bytesOf = (frames: number) => frames * (frameBytes + 16);
  expect(reader.manifest.packs.map(({ bytes }) => bytes)).toEqual([bytesOf(framesInPack), bytesOf(288 - framesInPack)]);
  for (const frame of [0, framesInPack - 1, framesInPack, 287]) {
    const expected = memory.subarray(frame * frameBytes, (frame + 1) * frameBytes);
    expect((await fixture.readFrame(reader, frame)).equals(expected)).toBe(true);
  }
  const first = framesInPack - 4;
  expect(reader.runLength(first, 100)).toBe(4); // a read is of one pack
  expect([0, 1, 2, 3].map((wanted) => reader.runLength(first, 100, bytesOf(wanted)))).toEqual([1, 1, 2, 3]);
  const run = Buffer.concat(await fixture.readFrames(reader, first, 4));
  expect(run.equals(memory.subarray(first * frameBytes, framesInPack * frameBytes))).toBe(true);
});

test('a page that never came is not invented', async () => {
  const writer = new CheckpointWriter(store, identity, fixture.blocksOf(10), options);
  for (const page of [0, 1, 2, 4, 5, 6, 7, 9]) writer.addPage(page, dull(page), 0);
  await expect(writer.seal(wakePack, machine)).rejects.toMatchObject({
    code: 'STREAM_MALFORMED',
    message: expect.stringContaining('2 pages'),
  });
  await writer.abort();
  expect(await files.keys()).toEqual([]);
});

import { readFile, writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import { noPage, pageBytes, PreviousCheckpoint, type DiskBlocks } from '@dormouse/checkpoint';
import { exportStream, verifyCheckpoint, type CheckpointName, type DiskFiles } from '@dormouse/checkpoint-tools';
import { isDormouseError } from '@dormouse/errors';
import { MigrationStreamReader } from '@dormouse/migration-stream';
import type { BlobStore } from '@dormouse/storage';
import * as written from '../../libs/checkpoint/checkpoint-fixture';
import * as handmade from '../../libs/checkpoint-tools/handmade-checkpoint';

/**
 * One page, three readers of it: `libs/checkpoint`, which writes and wakes; `libs/checkpoint-tools`, which verifies and
 * exports; and the encoder by hand. What one makes the others have to read, and what one refuses the others have to.
 */

let shelf: handmade.TestShelf;
let store: BlobStore;

beforeEach(async () => {
  shelf = await handmade.TestShelf.make();
  store = await shelf.store();
});
afterEach(() => shelf.remove());

const idOf = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

/** Memory that comes back from an export, page by page. */
async function exportedPages(name: CheckpointName, diskFiles: DiskFiles): Promise<(Buffer | null)[]> {
  const pages: (Buffer | null)[] = [];
  let firstOf: number[] = [];
  const reader = new MigrationStreamReader({
    blocks: (blocks) => {
      let first = 0;
      firstOf = blocks.map(({ bytes }) => (first += bytes / pageBytes) - bytes / pageBytes);
    },
    zeroPage: (block, index) => (pages[firstOf[block]! + index] = null),
    page: (block, index, source, at) =>
      (pages[firstOf[block]! + index] = Buffer.from(source.subarray(at, at + pageBytes))),
  });
  await exportStream({ ...name, store, keys: written.keys, diskFiles }, async (chunk) => reader.push(chunk));
  return pages;
}

test('every checkpoint of any lineage that is written verifies, and exports as the memory that was given', async () => {
  const wakePack = {
    configuration: Buffer.concat([Buffer.of(0, 0, 0, 10), Buffer.from('pc-q35-7.2')]),
    deviceState: Buffer.concat([Buffer.from('0400000007', 'hex'), Buffer.from('7e00000007', 'hex')]),
  };
  const image = Buffer.concat(Array.from({ length: 8 }, (_, n) => written.wild(100 + n)));
  const layer = Buffer.concat(Array.from({ length: 8 }, (_, n) => written.wild(200 + n)));
  const sources = { 'image/0': image, 'generation-7/0': layer };
  for (const [name, content] of Object.entries(sources)) await shelf.write(shelf.file(name), content);
  const disks = new written.DisksInMemory(sources);
  // Zeros, pages of their own, pages that stand on a disk.
  const seed = fc.oneof(
    fc.constant(0),
    fc.integer({ min: 1, max: 30 }),
    fc.integer({ min: 100, max: 109 }),
    fc.integer({ min: 200, max: 209 }),
  );
  const memory = fc.array(seed, { minLength: 90, maxLength: 90 });
  let lineages = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(memory, { minLength: 1, maxLength: 4 }), async (memories) => {
      const desktopId = `desk-${lineages++}`;
      let previous: PreviousCheckpoint | null = null;
      for (const [n, seeds] of memories.entries()) {
        const name = { desktopId, checkpointId: idOf(n) };
        const pages = seeds.map((one) => (one === 0 ? null : one % 7 === 0 ? written.dull(one) : written.wild(one)));
        await written.write(store, pages, name, wakePack, { disks, previous, mostRewritten: 8 });
        expect(await verifyCheckpoint({ ...name, store, keys: written.keys, diskFiles: shelf.file })).toMatchObject({
          depth: 'contents',
          findings: [],
          notChecked: [],
        });
        expect(written.samePages(await exportedPages(name, shelf.file), pages)).toBe(true);
        previous = await PreviousCheckpoint.load(store, name, written.dataKey, () => true);
      }
    }),
    { numRuns: 25 },
  );
});

describe('a checkpoint made by hand', () => {
  const plan = handmade.samplePlan();
  const name = { desktopId: plan.desktopId, checkpointId: plan.checkpointId };
  const keys = { dataKey: { keyId: plan.keyId, key: plan.dataKey }, contentKey: plan.contentKey };
  let objects: Map<string, Buffer>;

  beforeEach(async () => {
    objects = await shelf.put(plan);
  });

  const diskBlocks: DiskBlocks = {
    read: async (source, block, count) =>
      (await readFile(shelf.file(source))).subarray(block * pageBytes, (block + count) * pageBytes),
  };

  /** All that waking and saving would read, from a store that has read nothing yet. */
  async function readAll(): Promise<(Buffer | null)[]> {
    const fresh = await shelf.store();
    try {
      const reader = await written.open(fresh, name, keys, diskBlocks);
      expect(reader.wakePack.deviceState.equals(plan.deviceState)).toBe(true);
      expect(reader.wakePack.configuration.equals(plan.configuration)).toBe(true);
      expect([...reader.wakePack.pages]).toEqual([...plan.wakeSet.map((page) => page ?? noPage), ...plan.wakePages]);
      await PreviousCheckpoint.load(fresh, name, keys.dataKey, () => true);
      return await written.readPages(reader);
    } finally {
      await fresh.close();
    }
  }

  const memory = plan.pages.map((place, n) => (place === 'zero' ? null : handmade.contentOf(plan, n)));

  test('is read to the last page by what wakes desktops', async () => {
    expect(written.samePages(await readAll(), memory)).toBe(true);
  });

  test('with one bit flipped anywhere is refused by name by both readers, or read as it was', async () => {
    const places = fc.record({
      object: fc.nat(),
      position: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
      bit: fc.nat(7),
    });
    const files = new Map([...objects].map(([key, content]) => [key, { path: shelf.object(key), content }]));
    for (const { name: source, content } of plan.sources) files.set(source, { path: shelf.file(source), content });
    await fc.assert(
      fc.asyncProperty(places, async ({ object, position, bit }) => {
        const [key, { path, content }] = [...files][object % files.size]!;
        const flipped = Buffer.from(content);
        flipped[Math.floor(position * content.length)]! ^= 1 << bit;
        await writeFile(path, flipped);
        const read = await readAll().catch((error: unknown) => {
          if (isDormouseError(error)) return error;
          throw error;
        });
        const { findings } = await verifyCheckpoint({ ...name, store, keys, diskFiles: shelf.file });
        await writeFile(path, content);
        if (isDormouseError(read)) {
          expect(read.details['object'] ?? read.details['source']).toBe(key);
          expect(findings.map((finding) => finding.object)).toContain(key);
        } else {
          expect(written.samePages(read, memory)).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });
});

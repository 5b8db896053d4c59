import fc from 'fast-check';
import { Encoder } from '@toondepauw/node-zstd';
import { FrameTable } from './frame-table';
import { frameBytes, pageBytes, pageKind } from './layout';
import { PageMap } from './page-map';

/**
 * A page map whose digest is right is still checked before anything is read by it. Layouts by hand, from
 * docs/checkpoint-format.md.
 */

const blocks = [
  { name: 'pc.ram', bytes: 3 * pageBytes },
  { name: 'vga.vram', bytes: pageBytes },
];
const packSizes = [100_000, 5_000];
const zstd = new Encoder(1);

interface Entry {
  readonly kind: number;
  readonly slot?: number;
  readonly frame?: number;
  readonly source?: number;
  readonly block?: number;
}
interface Frame {
  readonly pack: number;
  readonly encoding: number;
  readonly length: number;
  readonly offset: number | bigint;
}

/** Columns of a run, one after the other, compressed, behind their length. */
async function runOf(
  columns: readonly (readonly [bytes: 1 | 2 | 4 | 8, values: readonly (number | bigint)[]])[],
): Promise<Buffer> {
  const parts = columns.flatMap(([bytes, values]) =>
    values.map((value) => {
      const field = Buffer.alloc(8);
      field.writeBigUInt64LE(BigInt.asUintN(bytes * 8, BigInt(value)));
      return field.subarray(0, bytes);
    }),
  );
  const run = await zstd.encode(Buffer.concat(parts));
  return Buffer.concat([lengthOf(run), run]);
}

const differences = (values: readonly (number | bigint)[]): bigint[] =>
  values.map((value, n) => BigInt(value) - BigInt(n === 0 ? 0 : values[n - 1]!));

const framesOf = (frames: readonly Frame[]): Promise<Buffer> =>
  frames.length === 0
    ? Promise.resolve(Buffer.alloc(0))
    : runOf([
        [2, frames.map(({ pack }) => pack)],
        [1, frames.map(({ encoding }) => encoding)],
        [1, frames.map(() => 0)],
        [4, frames.map(({ length }) => length)],
        [8, differences(frames.map(({ offset }) => offset))],
      ]);

const entriesOf = (entries: readonly Entry[]): Promise<Buffer> =>
  runOf([
    [1, entries.map(({ kind }) => kind)],
    [1, entries.map(({ slot = 0 }) => slot)],
    [2, entries.map(({ source = 0 }) => source)],
    [4, differences(entries.map(({ frame, block }) => frame ?? block ?? 0))],
  ]);

const head = (pages: number, frames: number, onDisk: number): Buffer => {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32LE(pages, 0);
  bytes.writeUInt32LE(frames, 4);
  bytes.writeUInt32LE(onDisk, 8);
  return bytes;
};

const lengthOf = (run: Buffer): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(run.length);
  return bytes;
};

const goodFrames: Frame[] = [
  { pack: 0, encoding: 0, length: frameBytes + 16, offset: 0 },
  { pack: 1, encoding: 1, length: 5_000, offset: 0 },
];
const goodEntries: Entry[] = [
  { kind: 1 },
  { kind: 2, slot: 15, frame: 0 },
  { kind: 2, slot: 0, frame: 1 },
  { kind: 3, source: 1, block: 6 },
];
const tag = Buffer.from('page-tag');

async function mapOf(frames = goodFrames, entries = goodEntries): Promise<Buffer> {
  const onDisk = entries.filter(({ kind }) => kind === 3).length;
  return Buffer.concat([
    head(4, frames.length, onDisk),
    await framesOf(frames),
    await entriesOf(entries),
    ...Array.from({ length: onDisk }, () => tag),
  ]);
}

const diskSources = [
  { name: 'image/0', blocks: 0 },
  { name: 'image/1', blocks: 7 },
];
const about = { blocks, packSizes, diskSources };
const decode = (encoded: Buffer) => PageMap.decode(encoded, about, 'the-map');
const corrupt = { code: 'CHECKPOINT_CORRUPT', details: { object: 'the-map' } };

test('a map laid out by the book is read', async () => {
  const { map, frames } = await decode(await mapOf());
  expect(Array.from({ length: 4 }, (_, page) => [map.kindOf(page), map.frameOf(page), map.slotOf(page)])).toEqual([
    [pageKind.zero, 0, 0],
    [pageKind.frame, 0, 15],
    [pageKind.frame, 1, 0],
    [pageKind.disk, 6, 0],
  ]);
  expect([map.sourceOf(3), map.blockOf(3), map.hasTag(3, tag, 0)]).toEqual([1, 6, true]);
  expect(frames.get(1)).toMatchObject({ pack: 1, encoding: 1, length: 5_000, offset: 0 });
});

test.each<[string, Entry]>([
  ['a frame there is none of', { kind: 2, frame: 2 }],
  ['a slot no frame has', { kind: 2, slot: 16 }],
  ['a disk source there is none of', { kind: 3, source: 2 }],
  ['a block behind the end of its disk source', { kind: 3, source: 1, block: 7 }],
  ['nothing, though a finished checkpoint has every page', { kind: 0 }],
])('a page that points to %s is damage', async (_, entry) => {
  await expect(decode(await mapOf(goodFrames, [...goodEntries.slice(0, 3), entry]))).rejects.toMatchObject(corrupt);
});

test('a page of a kind that a later version may know is refused as unsupported', async () => {
  const encoded = await mapOf(goodFrames, [...goodEntries.slice(0, 3), { kind: 4 }]);
  await expect(decode(encoded)).rejects.toMatchObject({ code: 'FORMAT_UNSUPPORTED', details: { object: 'the-map' } });
});

test.each<[string, Frame]>([
  ['in a pack there is none of', { pack: 2, encoding: 1, length: 100, offset: 0 }],
  ['that reaches beyond its pack', { pack: 1, encoding: 1, length: 100, offset: 4_901 }],
  ['at the end of all numbers', { pack: 1, encoding: 1, length: 100, offset: 0xffff_ffff_ffff_fff0n }],
  ['without bytes beside its tag', { pack: 1, encoding: 1, length: 16, offset: 0 }],
  ['longer than its pages', { pack: 0, encoding: 1, length: frameBytes + 17, offset: 0 }],
  ['stored as it is, in fewer bytes than its pages', { pack: 0, encoding: 0, length: frameBytes + 15, offset: 0 }],
  ['of an unknown encoding', { pack: 0, encoding: 2, length: 100, offset: 0 }],
])('a frame %s is damage', async (_, frame) => {
  await expect(decode(await mapOf([goodFrames[0]!, frame]))).rejects.toMatchObject(corrupt);
});

test('a map of another number of pages than the memory has is damage, found before room is made for it', async () => {
  const encoded = await mapOf();
  encoded.writeUInt32LE(0xffff_ffff, 0);
  await expect(decode(encoded)).rejects.toMatchObject({ ...corrupt, message: expect.stringContaining('4294967295') });
});

test.each([4, 8])('a map with more frames or tags than bytes is damage', async (at) => {
  const encoded = await mapOf();
  encoded.writeUInt32LE(0xffff_ffff, at);
  await expect(decode(encoded)).rejects.toMatchObject(corrupt);
});

test('entries that do not decompress, or to another length, are damage', async () => {
  const frames = await framesOf(goodFrames);
  const runs = [
    Buffer.from('not compressed'),
    Buffer.alloc(0),
    await zstd.encode(Buffer.alloc(8)),
    await zstd.encode(Buffer.alloc(40)),
  ];
  for (const run of runs) {
    const encoded = Buffer.concat([head(4, goodFrames.length, 1), frames, lengthOf(run), run, tag]);
    await expect(decode(encoded)).rejects.toMatchObject(corrupt);
  }
});

test('a map cut anywhere, or with something behind it, is damage', async () => {
  const encoded = await mapOf();
  for (let length = 0; length < encoded.length; length++) {
    await expect(decode(encoded.subarray(0, length))).rejects.toMatchObject(corrupt);
  }
  await expect(decode(Buffer.concat([encoded, Buffer.of(0)]))).rejects.toMatchObject(corrupt);
});

test('a map is read as it was written, over as many runs of entries as it takes', async () => {
  const location = fc.record({
    pack: fc.constant(0),
    encoding: fc.constant(1),
    length: fc.integer({ min: 17, max: 1000 }),
    offset: fc.nat(packSizes[0]! - 1000),
  });
  const input = fc.tuple(
    fc.array(location, { minLength: 1, maxLength: 2000 }),
    fc.constantFrom(1, 65_535, 65_536, 65_537, 140_000),
    fc.array(fc.option(fc.tuple(fc.nat(), fc.nat(15), fc.boolean())), { minLength: 1, maxLength: 50 }),
  );
  await fc.assert(
    fc.asyncProperty(input, async ([locations, pages, pattern]) => {
      const memory = [{ name: 'pc.ram', bytes: pages * pageBytes }];
      const written = PageMap.forBlocks(memory);
      const frames = new FrameTable();
      for (const place of locations) frames.add(place);
      for (let page = 0; page < pages; page++) {
        const place = pattern[page % pattern.length];
        if (place === null || place === undefined) written.setZero(page);
        else if (place[2]) written.setDisk(page, 1, place[0] % 7, Buffer.alloc(16, place[0]), 0);
        else written.setFrame(page, place[0] % locations.length, place[1]);
      }
      const { map, frames: read } = await PageMap.decode(
        Buffer.concat(await written.encode(frames)),
        { ...about, blocks: memory },
        'the-map',
      );
      expect(read.length).toBe(locations.length);
      locations.forEach((place, frame) => expect(read.get(frame)).toEqual(place));
      const differing = Array.from({ length: pages }, (_, page) => page).filter(
        (page) =>
          map.kindOf(page) !== written.kindOf(page) ||
          map.frameOf(page) !== written.frameOf(page) ||
          map.slotOf(page) !== written.slotOf(page) ||
          map.sourceOf(page) !== written.sourceOf(page) ||
          (map.kindOf(page) === pageKind.disk &&
            !map.hasTag(page, Buffer.alloc(16, pattern[page % pattern.length]![0]), 0)),
      );
      expect(differing).toEqual([]);
    }),
    { numRuns: 20 },
  );
});

import fc from 'fast-check';
import { Encoder } from '@toondepauw/node-zstd';
import { FrameTable, type FrameLocation } from './frame-table';
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
}
interface Frame {
  readonly pack: number;
  readonly encoding: number;
  readonly pages?: number;
  readonly length: number;
  readonly offset: number | bigint;
}

function frameOf({ pack, encoding, pages = 16, length, offset }: Frame): Buffer {
  const bytes = Buffer.alloc(32, 0x55);
  bytes.writeUInt16LE(pack, 0);
  bytes.writeUInt8(encoding, 2);
  bytes.writeUInt8(pages, 3);
  bytes.writeUInt32LE(length, 4);
  bytes.writeBigUInt64LE(BigInt(offset), 8);
  return bytes;
}

function entryOf({ kind, slot = 0, frame = 0 }: Entry): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt8(kind, 0);
  bytes.writeUInt16LE(slot, 2);
  bytes.writeUInt32LE(frame, 4);
  return bytes;
}

const head = (pages: number, frames: number): Buffer => {
  const bytes = Buffer.alloc(16);
  bytes.write('DMPM');
  bytes.writeUInt16LE(1, 4);
  bytes.writeUInt32LE(pages, 8);
  bytes.writeUInt32LE(frames, 12);
  return bytes;
};

const lengthOf = (run: Buffer): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(run.length);
  return bytes;
};

const goodFrames: Frame[] = [
  { pack: 0, encoding: 0, length: frameBytes, offset: 0 },
  { pack: 1, encoding: 1, length: 5_000, offset: 0 },
];
const goodEntries: Entry[] = [
  { kind: 1 },
  { kind: 2, slot: 15, frame: 0 },
  { kind: 2, slot: 0, frame: 1 },
  { kind: 2, slot: 3, frame: 0 },
];

async function mapOf(frames = goodFrames, entries = goodEntries): Promise<Buffer> {
  const run = await zstd.encode(Buffer.concat(entries.map(entryOf)));
  return Buffer.concat([head(4, frames.length), ...frames.map(frameOf), lengthOf(run), run]);
}

const decode = (encoded: Buffer) => PageMap.decode(encoded, blocks, packSizes, 'the-map');
const corrupt = { code: 'CHECKPOINT_CORRUPT', details: { object: 'the-map' } };

test('a map laid out by the book is read', async () => {
  const { map, frames } = await decode(await mapOf());
  expect(Array.from({ length: 4 }, (_, page) => [map.kindOf(page), map.frameOf(page), map.slotOf(page)])).toEqual([
    [pageKind.zero, 0, 0],
    [pageKind.frame, 0, 15],
    [pageKind.frame, 1, 0],
    [pageKind.frame, 0, 3],
  ]);
  expect(frames.get(1)).toMatchObject({ pack: 1, encoding: 1, length: 5_000, offset: 0 });
});

test.each<[string, Entry]>([
  ['a frame there is none of', { kind: 2, frame: 2 }],
  ['a slot no frame has', { kind: 2, slot: 16 }],
  ['nothing, though a finished checkpoint has every page', { kind: 0 }],
])('a page that points to %s is damage', async (_, entry) => {
  await expect(decode(await mapOf(goodFrames, [...goodEntries.slice(0, 3), entry]))).rejects.toMatchObject(corrupt);
});

test('a page of a kind that a later version may know is refused as unsupported', async () => {
  const encoded = await mapOf(goodFrames, [...goodEntries.slice(0, 3), { kind: 3 }]);
  await expect(decode(encoded)).rejects.toMatchObject({ code: 'FORMAT_UNSUPPORTED', details: { object: 'the-map' } });
});

test.each<[string, Frame]>([
  ['in a pack there is none of', { pack: 2, encoding: 1, length: 10, offset: 0 }],
  ['that reaches beyond its pack', { pack: 1, encoding: 1, length: 10, offset: 4_991 }],
  ['at the end of all numbers', { pack: 1, encoding: 1, length: 10, offset: 0xffff_ffff_ffff_fff0n }],
  ['without bytes', { pack: 1, encoding: 1, length: 0, offset: 0 }],
  ['longer than its pages', { pack: 0, encoding: 1, length: frameBytes + 1, offset: 0 }],
  ['stored as it is, in fewer bytes than its pages', { pack: 0, encoding: 0, length: frameBytes - 1, offset: 0 }],
  ['of another number of pages', { pack: 0, encoding: 1, pages: 8, length: 10, offset: 0 }],
])('a frame %s is damage', async (_, frame) => {
  await expect(decode(await mapOf([goodFrames[0]!, frame]))).rejects.toMatchObject(corrupt);
});

test('a map of another number of pages than the memory has is damage, found before room is made for it', async () => {
  const encoded = await mapOf();
  encoded.writeUInt32LE(0xffff_ffff, 8);
  await expect(decode(encoded)).rejects.toMatchObject({ ...corrupt, message: expect.stringContaining('4294967295') });
});

test('a map with more frames than bytes is damage', async () => {
  const encoded = await mapOf();
  encoded.writeUInt32LE(0xffff_ffff, 12);
  await expect(decode(encoded)).rejects.toMatchObject(corrupt);
});

test('entries that do not decompress, or to another length, are damage', async () => {
  const [frames, count] = [goodFrames.map(frameOf), goodFrames.length];
  const runs = [
    Buffer.from('not compressed'),
    Buffer.alloc(0),
    await zstd.encode(Buffer.alloc(8)),
    await zstd.encode(Buffer.alloc(40)),
  ];
  for (const run of runs) {
    const encoded = Buffer.concat([head(4, count), ...frames, lengthOf(run), run]);
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
  const location = fc.record<FrameLocation>({
    pack: fc.constant(0),
    encoding: fc.constant(1),
    length: fc.integer({ min: 1, max: 1000 }),
    offset: fc.nat(packSizes[0]! - 1000),
    digest: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes)),
  });
  const input = fc.tuple(
    fc.array(location, { minLength: 1, maxLength: 2000 }),
    fc.constantFrom(1, 65_535, 65_536, 65_537, 140_000),
    fc.array(fc.option(fc.tuple(fc.nat(), fc.nat(15))), { minLength: 1, maxLength: 50 }),
  );
  await fc.assert(
    fc.asyncProperty(input, async ([locations, pages, pattern]) => {
      const memory = [{ name: 'pc.ram', bytes: pages * pageBytes }];
      const written = PageMap.forBlocks(memory);
      const frames = new FrameTable();
      for (const place of locations) frames.set(frames.reserve(), place);
      for (let page = 0; page < pages; page++) {
        const place = pattern[page % pattern.length];
        if (place === null || place === undefined) written.setZero(page);
        else written.setFrame(page, place[0] % locations.length, place[1]);
      }
      const { map, frames: read } = await PageMap.decode(await written.encode(frames), memory, packSizes, 'the-map');
      expect(read.length).toBe(locations.length);
      locations.forEach((place, frame) => expect(read.get(frame)).toEqual(place));
      const differing = Array.from({ length: pages }, (_, page) => page).filter(
        (page) =>
          map.kindOf(page) !== written.kindOf(page) ||
          map.frameOf(page) !== written.frameOf(page) ||
          map.slotOf(page) !== written.slotOf(page),
      );
      expect(differing).toEqual([]);
    }),
    { numRuns: 20 },
  );
});

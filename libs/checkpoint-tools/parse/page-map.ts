import { corrupt } from '../damage';
import { entriesPerRun, kinds, pageTagBytes, tagBytes } from '../format';
import { memoryPages, type Manifest } from './manifest';
import { decompress } from './zstd';

/** The frame table, field by field. */
export interface FrameTable {
  readonly count: number;
  readonly pack: Uint16Array;
  readonly encoding: Uint8Array;
  /** Of the stored bytes, tag included. */
  readonly length: Uint32Array;
  readonly offset: Float64Array;
}

/** Where every page is. Taken apart, not judged: `findPlaces` says which entries point to something. */
export interface PageMap {
  readonly frames: FrameTable;
  readonly pages: number;
  readonly kind: Uint8Array;
  readonly slot: Uint8Array;
  readonly source: Uint16Array;
  /** Frame number for kind 2, disk block for kind 3. */
  readonly target: Uint32Array;
  /** The pages of kind 3, in their order. */
  readonly diskPages: Uint32Array;
  /** Their page tags, 8 bytes each. */
  readonly tags: Buffer;
}

const headBytes = 16;
/** A length, and the shortest zstd frame that has content. */
const shortestRunBytes = 4 + 9;
const frameColumns = [2, 1, 1, 4, 8] as const;
const pageColumns = [1, 1, 2, 4] as const;

/** @throws CHECKPOINT_CORRUPT naming `key`: a length that does not add up, or content that cannot be decompressed */
export function parsePageMap(plaintext: Buffer, manifest: Pick<Manifest, 'blocks' | 'packs'>, key: string): PageMap {
  if (plaintext.length < headBytes) throw corrupt(key, 'it is too short');
  const pages = plaintext.readUInt32LE(0);
  const frameCount = plaintext.readUInt32LE(4);
  const diskCount = plaintext.readUInt32LE(8);
  if (pages !== memoryPages(manifest)) throw corrupt(key, `it has ${pages} pages, the machine has another number`);
  // Before room is made: frames lie in packs, runs in the object.
  const packed = manifest.packs.reduce((sum, { bytes }) => sum + bytes, 0);
  if (frameCount * (tagBytes + 1) > packed) throw corrupt(key, `its ${frameCount} frames cannot lie in the packs`);
  const runs = Math.ceil(frameCount / entriesPerRun) + Math.ceil(pages / entriesPerRun);
  if (headBytes + runs * shortestRunBytes + diskCount * pageTagBytes > plaintext.length) {
    throw corrupt(key, 'it is too short for its lists');
  }
  const lists = new Lists(plaintext, headBytes, key);
  const frames = readFrames(lists, frameCount);
  const entries = readPages(lists, pages);
  const diskPages = pagesOfKind(entries.kind, kinds.disk);
  if (diskPages.length !== diskCount) {
    throw corrupt(key, `it has ${diskPages.length} pages on disk and says ${diskCount}`);
  }
  const tags = plaintext.subarray(lists.at);
  if (tags.length !== diskCount * pageTagBytes) throw corrupt(key, 'its lengths do not add up to its own');
  return { frames, pages, ...entries, diskPages, tags };
}

function readFrames(lists: Lists, count: number): FrameTable {
  const table = {
    count,
    pack: new Uint16Array(count),
    encoding: new Uint8Array(count),
    length: new Uint32Array(count),
    offset: new Float64Array(count),
  };
  lists.read(count, frameColumns, (columns, from, length) => {
    const [pack, encoding, , bytes, offset] = columns as [Buffer, Buffer, Buffer, Buffer, Buffer];
    let sum = 0n;
    for (let n = 0; n < length; n++) {
      table.pack[from + n] = pack.readUInt16LE(n * 2);
      table.encoding[from + n] = encoding[n]!;
      table.length[from + n] = bytes.readUInt32LE(n * 4);
      sum = BigInt.asUintN(64, sum + offset.readBigUInt64LE(n * 8));
      table.offset[from + n] = Number(sum);
    }
  });
  return table;
}

function readPages(lists: Lists, count: number): Pick<PageMap, 'kind' | 'slot' | 'source' | 'target'> {
  const entries = {
    kind: new Uint8Array(count),
    slot: new Uint8Array(count),
    source: new Uint16Array(count),
    target: new Uint32Array(count),
  };
  lists.read(count, pageColumns, (columns, from, length) => {
    const [kind, slot, source, target] = columns as [Buffer, Buffer, Buffer, Buffer];
    entries.kind.set(kind, from);
    entries.slot.set(slot, from);
    let sum = 0;
    for (let n = 0; n < length; n++) {
      entries.source[from + n] = source.readUInt16LE(n * 2);
      sum = (sum + target.readUInt32LE(n * 4)) >>> 0;
      entries.target[from + n] = sum;
    }
  });
  return entries;
}

function pagesOfKind(kind: Uint8Array, wanted: number): Uint32Array {
  const count = kind.reduce((sum, one) => sum + Number(one === wanted), 0);
  const pages = new Uint32Array(count);
  let at = 0;
  for (let page = 0; page < kind.length; page++) if (kind[page] === wanted) pages[at++] = page;
  return pages;
}

/** Lists of entries in compressed runs, one after the other. */
class Lists {
  constructor(
    private readonly plaintext: Buffer,
    public at: number,
    private readonly key: string,
  ) {}

  /** Hands out the columns of each run: `columns[n]` holds field n of entries `from` … `from + length - 1`. */
  read(
    count: number,
    widths: readonly number[],
    take: (columns: readonly Buffer[], from: number, length: number) => void,
  ): void {
    const entryBytes = widths.reduce((sum, width) => sum + width, 0);
    for (let from = 0; from < count; from += entriesPerRun) {
      const length = Math.min(entriesPerRun, count - from);
      const run = this.nextRun(length * entryBytes);
      let at = 0;
      take(
        widths.map((width) => run.subarray(at, (at += width * length))),
        from,
        length,
      );
    }
  }

  private nextRun(bytes: number): Buffer {
    const start = this.at + 4;
    if (start > this.plaintext.length) throw corrupt(this.key, 'it ends inside of a list');
    const end = start + this.plaintext.readUInt32LE(this.at);
    if (end > this.plaintext.length) throw corrupt(this.key, 'it ends inside of a list');
    this.at = end;
    const run = decompress(this.plaintext.subarray(start, end), bytes);
    if (run === null) throw corrupt(this.key, `a list does not decompress to its ${bytes} bytes`);
    return run;
  }
}

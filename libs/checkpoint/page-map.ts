import { Decoder, Encoder } from '@toondepauw/node-zstd';
import { corrupt, unsupported } from './corruption';
import { FrameTable, frameEntryBytes } from './frame-table';
import { formatVersion, framePages, pageBytes, pageKind, pageMapMagic } from './layout';
import type { MemoryBlock } from './manifest';

export type PageReference =
  | { readonly kind: typeof pageKind.absent | typeof pageKind.zero }
  | { readonly kind: typeof pageKind.frame; readonly frame: number; readonly slot: number };

/** magic · u16 version · u16 zero · u32 pages · u32 frames */
const headerBytes = 16;
/** Entries are compressed in runs of this many, each behind its u32 compressed length. */
const entriesPerRun = 64 * 1024;
const entryBytes = 8;

const encoder = new Encoder(1);
const decoder = new Decoder();

/**
 * For every guest page, what it is: zero, or where it is stored. Pages are numbered through all memory blocks in their
 * order. An entry is eight bytes, in memory as on storage: u8 kind · u8 zero · u16 slot · u32 frame.
 */
export class PageMap {
  /** Low word of each entry: kind and slot. High word: frame. */
  private readonly words: Uint32Array;

  private constructor(
    readonly pages: number,
    words?: Uint32Array,
  ) {
    this.words = words ?? new Uint32Array(pages * 2);
  }

  static forBlocks(blocks: readonly MemoryBlock[]): PageMap {
    return new PageMap(countPages(blocks));
  }

  kindOf(page: number): number {
    return this.words[page * 2]! & 0xff;
  }

  /** Only meaningful for a page of kind `frame`. */
  frameOf(page: number): number {
    return this.words[page * 2 + 1]!;
  }

  /** Only meaningful for a page of kind `frame`. */
  slotOf(page: number): number {
    return this.words[page * 2]! >>> 16;
  }

  setZero(page: number): void {
    this.words[page * 2] = pageKind.zero;
    this.words[page * 2 + 1] = 0;
  }

  setFrame(page: number, frame: number, slot: number): void {
    this.words[page * 2] = pageKind.frame | (slot << 16);
    this.words[page * 2 + 1] = frame;
  }

  count(kind: number): number {
    let count = 0;
    for (let page = 0; page < this.pages; page++) if (this.kindOf(page) === kind) count++;
    return count;
  }

  async encode(frames: FrameTable): Promise<Buffer> {
    const header = Buffer.alloc(headerBytes);
    header.write(pageMapMagic, 0, 'latin1');
    header.writeUInt16LE(formatVersion, 4);
    header.writeUInt32LE(this.pages, 8);
    header.writeUInt32LE(frames.length, 12);
    const parts: Uint8Array[] = [header, frames.encode()];
    const entries = Buffer.from(this.words.buffer, this.words.byteOffset, this.words.byteLength);
    for (let at = 0; at < entries.length; at += entriesPerRun * entryBytes) {
      const run = await encoder.encode(entries.subarray(at, at + entriesPerRun * entryBytes));
      const length = Buffer.alloc(4);
      length.writeUInt32LE(run.length);
      parts.push(length, run);
    }
    return Buffer.concat(parts);
  }

  /**
   * @param object the object's key, for errors
   * @param packSizes bytes of each pack: what a frame may point into
   * @throws CHECKPOINT_CORRUPT, FORMAT_UNSUPPORTED
   */
  static async decode(
    encoded: Buffer,
    blocks: readonly MemoryBlock[],
    packSizes: readonly number[],
    object: string,
  ): Promise<{ map: PageMap; frames: FrameTable }> {
    if (encoded.length < headerBytes || encoded.toString('latin1', 0, 4) !== pageMapMagic) {
      throw corrupt(object, 'it is not a page map');
    }
    const version = encoded.readUInt16LE(4);
    if (version !== formatVersion) throw unsupported(object, `page map version ${version}`);
    const pages = encoded.readUInt32LE(8);
    if (pages !== countPages(blocks))
      throw corrupt(object, `it maps ${pages} pages, the memory has ${countPages(blocks)}`);
    const framesEnd = headerBytes + encoded.readUInt32LE(12) * frameEntryBytes;
    if (framesEnd > encoded.length) throw corrupt(object, 'its frame table is cut off');
    const frames = FrameTable.decode(encoded.subarray(headerBytes, framesEnd), packSizes, object);
    const words = new Uint32Array(pages * 2);
    const entries = Buffer.from(words.buffer);
    let at = framesEnd;
    for (let start = 0; start < entries.length; start += entriesPerRun * entryBytes) {
      if (at + 4 > encoded.length) throw corrupt(object, 'its entries are cut off');
      const runEnd = at + 4 + encoded.readUInt32LE(at);
      if (runEnd > encoded.length) throw corrupt(object, 'its entries are cut off');
      const run = await decoder.decode(encoded.subarray(at + 4, runEnd)).catch((cause: unknown) => {
        throw corrupt(object, 'its entries do not decompress', cause);
      });
      if (run.length !== Math.min(entriesPerRun * entryBytes, entries.length - start)) {
        throw corrupt(object, 'its entries have the wrong length');
      }
      entries.set(run, start);
      at = runEnd;
    }
    if (at !== encoded.length) throw corrupt(object, 'something follows its entries');
    const map = new PageMap(pages, words);
    map.check(frames, object);
    return { map, frames };
  }

  private check(frames: FrameTable, object: string): void {
    for (let page = 0; page < this.pages; page++) {
      const kind = this.kindOf(page);
      if (kind === pageKind.zero) continue;
      if (kind === pageKind.absent) throw corrupt(object, `it says nothing of page ${page}`);
      if (kind !== pageKind.frame) throw unsupported(object, `page ${page} is of kind ${kind}`);
      if (this.frameOf(page) >= frames.length || this.slotOf(page) >= framePages) {
        throw corrupt(object, `page ${page} points to no frame`);
      }
    }
  }
}

function countPages(blocks: readonly MemoryBlock[]): number {
  return blocks.reduce((sum, block) => sum + block.bytes / pageBytes, 0);
}

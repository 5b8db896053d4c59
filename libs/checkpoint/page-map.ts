import { setImmediate as immediate } from 'node:timers/promises';
import { decodeColumns, encodeColumns, type Columns } from './columns';
import { corrupt, unsupported } from './corruption';
import { FrameTable } from './frame-table';
import { framePages, pageBytes, pageKind, pageTagBytes } from './layout';
import type { DiskSource, MemoryBlock } from './manifest';
import { halfWords, words } from './word-list';

/** u32 pages · u32 frames · u32 pages of kind disk · u32 zero */
const headBytes = 16;
/** kind · slot · disk source · frame or block */
const columns: Columns = [1, 1, 2, 4];

/**
 * For every guest page, what it is: zero, in a slot of a frame, or in a block of a disk source. Pages are numbered through
 * all memory blocks in their order. Eight bytes for a page, and its tag if it is on disk.
 */
export class PageMap {
  /** u8 kind · u8 slot · u16 disk source */
  private readonly heads: Uint32Array;
  /** Frame number, or disk block. */
  private readonly places: Uint32Array;
  /** Page tags, two words each; only those of disk pages mean something. Made when the first is needed. */
  private tags: Uint32Array | null = null;

  private constructor(readonly pages: number) {
    this.heads = new Uint32Array(pages);
    this.places = new Uint32Array(pages);
  }

  static forBlocks(blocks: readonly MemoryBlock[]): PageMap {
    return new PageMap(countPages(blocks));
  }

  kindOf(page: number): number {
    return this.heads[page]! & 0xff;
  }

  /** Only meaningful for a page of kind `frame`, like `slotOf`. */
  frameOf(page: number): number {
    return this.places[page]!;
  }

  slotOf(page: number): number {
    return (this.heads[page]! >>> 8) & 0xff;
  }

  /** Only meaningful for a page of kind `disk`, like `blockOf` and `hasTag`. */
  sourceOf(page: number): number {
    return this.heads[page]! >>> 16;
  }

  blockOf(page: number): number {
    return this.places[page]!;
  }

  /** Whether the page hash that stands in `hashes` from `at` on begins with the page's tag. */
  hasTag(page: number, hashes: Buffer, at: number): boolean {
    const tags = this.allTags();
    return hashes.readUInt32LE(at) === tags[page * 2] && hashes.readUInt32LE(at + 4) === tags[page * 2 + 1];
  }

  setZero(page: number): void {
    this.heads[page] = pageKind.zero;
    this.places[page] = 0;
  }

  setFrame(page: number, frame: number, slot: number): void {
    this.heads[page] = pageKind.frame | (slot << 8);
    this.places[page] = frame;
  }

  /** The tag is the head of the page's hash, which stands in `hashes` from `at` on. */
  setDisk(page: number, source: number, block: number, hashes: Buffer, at: number): void {
    this.heads[page] = (pageKind.disk | (source << 16)) >>> 0;
    this.places[page] = block;
    const tags = this.allTags();
    tags[page * 2] = hashes.readUInt32LE(at);
    tags[page * 2 + 1] = hashes.readUInt32LE(at + 4);
  }

  /** @param numberOf by its present number, the new one of each frame */
  renumberFrames(numberOf: Uint32Array): void {
    for (let page = 0; page < this.pages; page++) {
      if (this.kindOf(page) === pageKind.frame) this.places[page] = numberOf[this.places[page]!]!;
    }
  }

  count(kind: number): number {
    let count = 0;
    for (let page = 0; page < this.pages; page++) if (this.kindOf(page) === kind) count++;
    return count;
  }

  /** The plaintext of the object, in parts. */
  async encode(frames: FrameTable): Promise<Buffer[]> {
    const head = Buffer.alloc(headBytes);
    const onDisk = this.count(pageKind.disk);
    head.writeUInt32LE(this.pages, 0);
    head.writeUInt32LE(frames.length, 4);
    head.writeUInt32LE(onDisk, 8);
    const [table, entries] = await Promise.all([frames.encode(), this.encodeEntries()]);
    return [head, ...table, ...entries, this.diskTags(onDisk)];
  }

  /**
   * @param object the object's key, for errors
   * @param packSizes bytes of each pack: what a frame may point into
   * @throws CHECKPOINT_CORRUPT, FORMAT_UNSUPPORTED
   */
  static async decode(
    plaintext: Buffer,
    about: {
      readonly blocks: readonly MemoryBlock[];
      readonly packSizes: readonly number[];
      readonly diskSources: readonly DiskSource[];
    },
    object: string,
  ): Promise<{ map: PageMap; frames: FrameTable }> {
    if (plaintext.length < headBytes) throw corrupt(object, 'it is cut off');
    const pages = plaintext.readUInt32LE(0);
    const expected = countPages(about.blocks);
    if (pages !== expected) throw corrupt(object, `it maps ${pages} pages, the memory has ${expected}`);
    const table = plaintext.readUInt32LE(4);
    const { frames, end } = await FrameTable.decode(plaintext, headBytes, table, about.packSizes, object);
    const map = new PageMap(pages);
    const tagsAt = await map.decodeEntries(plaintext, end, object);
    await immediate(); // a large map takes a while, and whoever waits for it has other things to do
    const onDisk = plaintext.readUInt32LE(8);
    map.check(frames, about.diskSources, object);
    if (map.count(pageKind.disk) !== onDisk || tagsAt + onDisk * pageTagBytes !== plaintext.length) {
      throw corrupt(object, 'it has not as many tags as pages on disk');
    }
    await immediate();
    map.setTags(plaintext.subarray(tagsAt));
    return { map, frames };
  }

  private encodeEntries(): Promise<Buffer[]> {
    return encodeColumns(this.pages, columns, ([kind, slot, source, place], from, to) => {
      // The guest stands still for this, and a call for each entry would take five times as long. Node runs nowhere but
      // where words are little-endian, like the format's.
      const sources = new Uint16Array(source!.buffer, source!.byteOffset, to - from);
      const differences = new Uint32Array(place!.buffer, place!.byteOffset, to - from);
      let before = 0;
      for (let page = from; page < to; page++) {
        const n = page - from;
        const head = this.heads[page]!;
        kind![n] = head & 0xff;
        slot![n] = (head >>> 8) & 0xff;
        sources[n] = head >>> 16;
        differences[n] = this.places[page]! - before;
        before = this.places[page]!;
      }
    });
  }

  private decodeEntries(plaintext: Buffer, at: number, object: string): Promise<number> {
    return decodeColumns(plaintext, at, this.pages, columns, object, ([kind, slot, source, place], from, to) => {
      const sources = halfWords(source!);
      const differences = words(place!);
      let value = 0;
      for (let page = from; page < to; page++) {
        const n = page - from;
        value = (value + differences[n]!) >>> 0;
        this.heads[page] = (kind![n]! | (slot![n]! << 8) | (sources[n]! << 16)) >>> 0;
        this.places[page] = value;
      }
    });
  }

  private diskTags(onDisk: number): Buffer {
    const encoded = new Uint32Array(onDisk * 2);
    const tags = this.allTags();
    let at = 0;
    for (let page = 0; page < this.pages; page++) {
      if (this.kindOf(page) !== pageKind.disk) continue;
      encoded[at++] = tags[page * 2]!;
      encoded[at++] = tags[page * 2 + 1]!;
    }
    return Buffer.from(encoded.buffer);
  }

  private setTags(encoded: Buffer): void {
    const tags = this.allTags();
    const known = words(encoded);
    let at = 0;
    for (let page = 0; page < this.pages; page++) {
      if (this.kindOf(page) !== pageKind.disk) continue;
      tags[page * 2] = known[at++]!;
      tags[page * 2 + 1] = known[at++]!;
    }
  }

  private allTags(): Uint32Array {
    return (this.tags ??= new Uint32Array(this.pages * 2));
  }

  private check(frames: FrameTable, sources: readonly DiskSource[], object: string): void {
    for (let page = 0; page < this.pages; page++) {
      switch (this.kindOf(page)) {
        case pageKind.zero:
          break;
        case pageKind.frame:
          if (this.frameOf(page) >= frames.length || this.slotOf(page) >= framePages) {
            throw corrupt(object, `page ${page} points to no frame`);
          }
          break;
        case pageKind.disk:
          if (this.blockOf(page) >= (sources[this.sourceOf(page)]?.blocks ?? 0)) {
            throw corrupt(object, `page ${page} points to no disk block`);
          }
          break;
        case pageKind.absent:
          throw corrupt(object, `it says nothing of page ${page}`);
        default:
          throw unsupported(object, `page ${page} is of kind ${this.kindOf(page)}`);
      }
    }
  }
}

export function countPages(blocks: readonly MemoryBlock[]): number {
  return blocks.reduce((sum, block) => sum + block.bytes / pageBytes, 0);
}

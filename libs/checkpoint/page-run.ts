import type { Columns } from './columns';
import { pageKind, pageTagBytes } from './layout';
import { halfWords, words } from './word-list';

/** kind · slot · disk source · frame or block */
export const pageColumns: Columns = [1, 1, 2, 4];
const entryBytes = 8;

/**
 * The entries of a page map that are compressed as one, column by column as they are stored, but that each place stands for itself and
 * not for its difference to the one before. They stay where they were decompressed: to fill memory anew takes longer than to look at them.
 */
export class PageRun {
  private tags: Uint32Array | null = null;
  private storedTags: Buffer | null = null;

  private constructor(
    readonly kinds: Uint8Array,
    readonly slots: Uint8Array,
    readonly sources: Uint16Array,
    /** Frame number, or disk block. */
    readonly places: Uint32Array,
  ) {}

  /** Entries that say nothing yet. */
  static empty(entries: number): PageRun {
    const memory = Buffer.alloc(entries * entryBytes);
    let at = 0;
    return PageRun.over(pageColumns.map((bytes) => memory.subarray(at, (at += entries * bytes))));
  }

  /** @param columns as they were stored; they become the run's */
  static decode(columns: readonly Buffer[]): PageRun {
    const run = PageRun.over(columns);
    let place = 0;
    for (let entry = 0; entry < run.length; entry++) run.places[entry] = place += run.places[entry]!;
    return run;
  }

  private static over([kinds, slots, sources, places]: readonly Buffer[]): PageRun {
    return new PageRun(kinds!, slots!, halfWords(sources!), words(places!));
  }

  get length(): number {
    return this.kinds.length;
  }

  count(kind: number): number {
    let count = 0;
    for (let entry = 0; entry < this.length; entry++) if (this.kinds[entry] === kind) count++;
    return count;
  }

  /** @param columns are filled as they are to be stored */
  encode([kinds, slots, sources, places]: readonly Buffer[]): void {
    kinds!.set(this.kinds);
    slots!.set(this.slots);
    sources!.set(bytesOf(this.sources));
    // The guest stands still for this, and a call for each entry would take five times as long. Not `words`: it may hand out a
    // copy, and what is written to that would be lost.
    const differences = new Uint32Array(places!.buffer, places!.byteOffset, this.length);
    let before = 0;
    for (let entry = 0; entry < this.length; entry++) {
      differences[entry] = this.places[entry]! - before;
      before = this.places[entry]!;
    }
  }

  /** The tag is the head of the page's hash, which stands in `hashes` from `at` on. */
  setTag(entry: number, hashes: Buffer, at: number): void {
    const tags = this.allTags();
    tags[entry * 2] = hashes.readUInt32LE(at);
    tags[entry * 2 + 1] = hashes.readUInt32LE(at + 4);
  }

  hasTag(entry: number, hashes: Buffer, at: number): boolean {
    const tags = this.allTags();
    return hashes.readUInt32LE(at) === tags[entry * 2] && hashes.readUInt32LE(at + 4) === tags[entry * 2 + 1];
  }

  /** @param tags of the run's pages on disk, one after the other */
  keepStoredTags(tags: Buffer): void {
    this.storedTags = tags;
  }

  encodeTags(): Buffer {
    const tags = this.allTags();
    const encoded = new Uint32Array(this.count(pageKind.disk) * 2);
    let at = 0;
    for (let entry = 0; entry < this.length; entry++) {
      if (this.kinds[entry] !== pageKind.disk) continue;
      encoded[at++] = tags[entry * 2]!;
      encoded[at++] = tags[entry * 2 + 1]!;
    }
    return bytesOf(encoded);
  }

  /** Two words for each entry; only those of pages on disk mean something. Made when the first is needed. */
  private allTags(): Uint32Array {
    if (this.tags !== null) return this.tags;
    const tags = (this.tags = new Uint32Array(this.length * 2));
    const stored = this.storedTags;
    let at = 0;
    for (let entry = 0; stored !== null && at < stored.length; entry++) {
      if (this.kinds[entry] !== pageKind.disk) continue;
      tags[entry * 2] = stored.readUInt32LE(at);
      tags[entry * 2 + 1] = stored.readUInt32LE(at + 4);
      at += pageTagBytes;
    }
    return tags;
  }
}

function bytesOf({ buffer, byteOffset, byteLength }: Uint16Array | Uint32Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

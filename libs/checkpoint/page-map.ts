import { decodeColumns, encodeColumns } from './columns';
import { corrupt, unsupported } from './corruption';
import { FrameTable } from './frame-table';
import { entriesPerRun, framePages, pageBytes, pageKind, pageTagBytes } from './layout';
import type { DiskSource, MemoryBlock } from './manifest-shape';
import { pageColumns, PageRun } from './page-run';

/** u32 pages · u32 frames · u32 pages of kind disk · u32 zero */
const headBytes = 16;

/** What entries are held against. */
interface Targets {
  readonly frames: number;
  readonly diskSources: readonly DiskSource[];
}

/**
 * For every guest page, what it is: zero, in a slot of a frame, or in a block of a disk source. Pages are numbered through
 * all memory blocks in their order. Eight bytes for a page, and its tag if it is on disk.
 */
export class PageMap {
  private constructor(
    readonly pages: number,
    private readonly runs: readonly PageRun[],
  ) {}

  static forBlocks(blocks: readonly MemoryBlock[]): PageMap {
    const pages = countPages(blocks);
    const runs = Array.from({ length: Math.ceil(pages / entriesPerRun) }, (_, run) =>
      PageRun.empty(Math.min(entriesPerRun, pages - run * entriesPerRun)),
    );
    return new PageMap(pages, runs);
  }

  kindOf(page: number): number {
    return this.runOf(page).kinds[entryOf(page)]!;
  }

  /** Only meaningful for a page of kind `frame`, like `slotOf`. */
  frameOf(page: number): number {
    return this.runOf(page).places[entryOf(page)]!;
  }

  slotOf(page: number): number {
    return this.runOf(page).slots[entryOf(page)]!;
  }

  /** Only meaningful for a page of kind `disk`, like `blockOf` and `hasTag`. */
  sourceOf(page: number): number {
    return this.runOf(page).sources[entryOf(page)]!;
  }

  blockOf(page: number): number {
    return this.runOf(page).places[entryOf(page)]!;
  }

  /** Whether the page hash that stands in `hashes` from `at` on begins with the page's tag. */
  hasTag(page: number, hashes: Buffer, at: number): boolean {
    return this.runOf(page).hasTag(entryOf(page), hashes, at);
  }

  setZero(page: number): void {
    this.set(page, pageKind.zero, 0, 0, 0);
  }

  setFrame(page: number, frame: number, slot: number): void {
    this.set(page, pageKind.frame, slot, 0, frame);
  }

  /** The tag is the head of the page's hash, which stands in `hashes` from `at` on. */
  setDisk(page: number, source: number, block: number, hashes: Buffer, at: number): void {
    this.set(page, pageKind.disk, 0, source, block);
    this.runOf(page).setTag(entryOf(page), hashes, at);
  }

  /** @param numberOf by its present number, the new one of each frame */
  renumberFrames(numberOf: Uint32Array): void {
    for (const { kinds, places } of this.runs) {
      for (let entry = 0; entry < kinds.length; entry++) {
        if (kinds[entry] === pageKind.frame) places[entry] = numberOf[places[entry]!]!;
      }
    }
  }

  count(kind: number): number {
    return this.runs.reduce((sum, run) => sum + run.count(kind), 0);
  }

  /** The plaintext of the object, in parts. */
  async encode(frames: FrameTable): Promise<Buffer[]> {
    const head = Buffer.alloc(headBytes);
    head.writeUInt32LE(this.pages, 0);
    head.writeUInt32LE(frames.length, 4);
    head.writeUInt32LE(this.count(pageKind.disk), 8);
    const entries = encodeColumns(this.pages, pageColumns, (columns, from) => this.runOf(from).encode(columns));
    const [table, encoded] = await Promise.all([frames.encode(), entries]);
    return [head, ...table, ...encoded, ...this.runs.map((run) => run.encodeTags())];
  }

  /**
   * @param plaintext is kept: tags are taken from it when they are needed
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
    const targets = { frames: frames.length, diskSources: about.diskSources };
    const runs: PageRun[] = [];
    const tagsAt = await decodeColumns(plaintext, end, pages, pageColumns, object, (columns, from) => {
      const run = PageRun.decode(columns);
      check(run, from, targets, object);
      runs.push(run);
    });
    let tagsEnd = tagsAt;
    for (const run of runs) {
      const tagBytes = run.count(pageKind.disk) * pageTagBytes;
      run.keepStoredTags(plaintext.subarray(tagsEnd, (tagsEnd += tagBytes)));
    }
    if (tagsEnd !== tagsAt + plaintext.readUInt32LE(8) * pageTagBytes || tagsEnd !== plaintext.length) {
      throw corrupt(object, 'it has not as many tags as pages on disk');
    }
    const map = new PageMap(pages, runs);
    return { map, frames };
  }

  private runOf(page: number): PageRun {
    return this.runs[Math.floor(page / entriesPerRun)]!;
  }

  private set(page: number, kind: number, slot: number, source: number, place: number): void {
    const { kinds, slots, sources, places } = this.runOf(page);
    const entry = entryOf(page);
    kinds[entry] = kind;
    slots[entry] = slot;
    sources[entry] = source;
    places[entry] = place;
  }
}

function entryOf(page: number): number {
  return page % entriesPerRun;
}

function check(
  { kinds, slots, sources, places }: PageRun,
  firstPage: number,
  { frames, diskSources }: Targets,
  object: string,
): void {
  for (let entry = 0; entry < kinds.length; entry++) {
    switch (kinds[entry]) {
      case pageKind.zero:
        break;
      case pageKind.frame:
        if (places[entry]! >= frames || slots[entry]! >= framePages) {
          throw corrupt(object, `page ${firstPage + entry} points to no frame`);
        }
        break;
      case pageKind.disk:
        if (places[entry]! >= (diskSources[sources[entry]!]?.blocks ?? 0)) {
          throw corrupt(object, `page ${firstPage + entry} points to no disk block`);
        }
        break;
      case pageKind.absent:
        throw corrupt(object, `it says nothing of page ${firstPage + entry}`);
      default:
        throw unsupported(object, `page ${firstPage + entry} is of kind ${kinds[entry]}`);
    }
  }
}

export function countPages(blocks: readonly MemoryBlock[]): number {
  return blocks.reduce((sum, block) => sum + block.bytes / pageBytes, 0);
}

import { framePages, pageKind, type CheckpointReader } from '@dormouse/checkpoint';

/** Disk blocks that are read together, like the pages of a frame. */
export const windowBlocks = framePages;

/** Part of a disk source: blocks `first` … `first + windowBlocks - 1`. */
export interface DiskWindow {
  readonly source: number;
  readonly first: number;
}

const nowhere = 0xffffffff;

/**
 * What memory is fetched by: the frames of the checkpoint, numbered as there, and after them the windows of the disk
 * sources that hold pages, in the order in which they lie on disk. Zero pages are in no chunk.
 */
export class Chunks {
  readonly frames: number;
  readonly windows: readonly DiskWindow[];
  /** Chunk of each page. */
  private readonly ofPage: Uint32Array;
  /** The pages of chunk c are `pages[starts[c]]` up to `pages[starts[c + 1] - 1]`. */
  private readonly starts: Uint32Array;
  private readonly pages: Uint32Array;

  constructor({ map, frames }: Pick<CheckpointReader, 'map' | 'frames'>) {
    this.frames = frames.length;
    this.ofPage = new Uint32Array(map.pages).fill(nowhere);
    const windows = new Map<number, number>();
    for (let page = 0; page < map.pages; page++) {
      const kind = map.kindOf(page);
      if (kind === pageKind.frame) this.ofPage[page] = map.frameOf(page);
      if (kind !== pageKind.disk) continue;
      const window = map.sourceOf(page) * 2 ** 32 + Math.floor(map.blockOf(page) / windowBlocks);
      let number = windows.get(window);
      if (number === undefined) windows.set(window, (number = windows.size));
      this.ofPage[page] = this.frames + number;
    }
    const inDiskOrder = Float64Array.from(windows.keys()).sort();
    const rank = new Uint32Array(windows.size);
    inDiskOrder.forEach((window, n) => (rank[windows.get(window)!] = n));
    this.windows = Array.from(inDiskOrder, (window) => ({
      source: Math.floor(window / 2 ** 32),
      first: (window % 2 ** 32) * windowBlocks,
    }));
    this.starts = new Uint32Array(this.count + 1);
    for (let page = 0; page < map.pages; page++) {
      const chunk = this.ofPage[page]!;
      if (chunk === nowhere) continue;
      if (chunk >= this.frames) this.ofPage[page] = this.frames + rank[chunk - this.frames]!;
      this.starts[this.ofPage[page]! + 1]!++;
    }
    for (let chunk = 0; chunk < this.count; chunk++) this.starts[chunk + 1]! += this.starts[chunk]!;
    this.pages = new Uint32Array(this.starts[this.count]!);
    const next = this.starts.slice();
    for (let page = 0; page < map.pages; page++) {
      const chunk = this.ofPage[page]!;
      if (chunk !== nowhere) this.pages[next[chunk]!++] = page;
    }
  }

  get count(): number {
    return this.frames + this.windows.length;
  }

  /** Not for a zero page. */
  chunkOf(page: number): number {
    return this.ofPage[page]!;
  }

  pagesOf(chunk: number): Uint32Array {
    return this.pages.subarray(this.starts[chunk], this.starts[chunk + 1]);
  }

  /** How many chunks from `first` on, `most` at most, lie one after the other where they are stored. */
  runLength(checkpoint: Pick<CheckpointReader, 'runLength'>, first: number, most: number): number {
    if (first < this.frames) return checkpoint.runLength(first, most);
    const start = this.windows[first - this.frames]!;
    let count = 1;
    while (count < most) {
      const next = this.windows[first - this.frames + count];
      if (next?.source !== start.source || next.first !== start.first + count * windowBlocks) break;
      count++;
    }
    return count;
  }
}

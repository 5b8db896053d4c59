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
 * sources, one source after the other, in the order in which they lie on disk. Zero pages are in no chunk, and many a window
 * has no page.
 */
export class Chunks {
  readonly frames: number;
  /** First chunk of each disk source, and the end. */
  private readonly firstOf: number[];
  /** Chunk of each page. */
  private readonly ofPage: Uint32Array;
  /** The pages of chunk c are `pages[starts[c]]` up to `pages[starts[c + 1] - 1]`. */
  private readonly starts: Uint32Array;
  private readonly pages: Uint32Array;

  constructor({ map, frames, manifest }: Pick<CheckpointReader, 'map' | 'frames' | 'manifest'>) {
    this.frames = frames.length;
    this.firstOf = [frames.length];
    for (const { blocks } of manifest.diskSources) {
      this.firstOf.push(this.firstOf.at(-1)! + Math.ceil(blocks / windowBlocks));
    }
    // The guest may run by now and wait for the outcome: three passes over plain numbers, a hundredth of a second for a million pages.
    this.ofPage = new Uint32Array(map.pages);
    this.starts = new Uint32Array(this.count + 1);
    for (let page = 0; page < map.pages; page++) {
      const kind = map.kindOf(page);
      if (kind === pageKind.zero) this.ofPage[page] = nowhere;
      else {
        const chunk =
          kind === pageKind.frame ? map.frameOf(page) : this.windowOf(map.sourceOf(page), map.blockOf(page));
        this.ofPage[page] = chunk;
        this.starts[chunk + 1]!++;
      }
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
    return this.firstOf.at(-1)!;
  }

  /** Not for a zero page. */
  chunkOf(page: number): number {
    return this.ofPage[page]!;
  }

  pagesOf(chunk: number): Uint32Array {
    return this.pages.subarray(this.starts[chunk], this.starts[chunk + 1]);
  }

  /** What a chunk is that is no frame. */
  windowAt(chunk: number): DiskWindow {
    let source = 0;
    while (chunk >= this.firstOf[source + 1]!) source++;
    return { source, first: (chunk - this.firstOf[source]!) * windowBlocks };
  }

  /** How many chunks from `first` on, `most` at most, lie one after the other where they are stored; none but the first is empty. */
  runLength(checkpoint: Pick<CheckpointReader, 'runLength'>, first: number, most: number): number {
    if (first < this.frames) return checkpoint.runLength(first, most);
    const end = Math.min(first + most, this.firstOf[this.windowAt(first).source + 1]!);
    let next = first + 1;
    while (next < end && this.starts[next] !== this.starts[next + 1]) next++;
    return next - first;
  }

  private windowOf(source: number, block: number): number {
    return this.firstOf[source]! + Math.floor(block / windowBlocks);
  }
}

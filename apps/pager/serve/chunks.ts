import { framePages, pageKind, type CheckpointReader } from '@dormouse/checkpoint';

/** Disk blocks that are read together, like the pages of a frame. */
export const windowBlocks = framePages;

/** Part of a disk source: blocks `first` … `first + windowBlocks - 1`. */
export interface DiskWindow {
  readonly source: number;
  readonly first: number;
}

/** The pages of chunk c are `pages[starts[c]]` up to `pages[starts[c + 1] - 1]`. */
interface PagesByChunk {
  readonly starts: Uint32Array;
  readonly pages: Uint32Array;
}

/**
 * What memory is fetched by: the frames of the checkpoint, numbered as there, and after them the windows of the disk
 * sources, one source after the other, in the order in which they lie on disk. Zero pages are in no chunk, and many a window
 * has no page.
 */
export class Chunks {
  readonly frames: number;
  /** First chunk of each disk source, and the end. */
  private readonly firstOf: number[];
  private readonly map: CheckpointReader['map'];
  /** Made when it is needed: the guest runs by now, and its first requests can do without. */
  private byChunk: PagesByChunk | null = null;

  constructor({ map, frames, manifest }: Pick<CheckpointReader, 'map' | 'frames' | 'manifest'>) {
    this.map = map;
    this.frames = frames.length;
    this.firstOf = [frames.length];
    for (const { blocks } of manifest.diskSources) {
      this.firstOf.push(this.firstOf.at(-1)! + Math.ceil(blocks / windowBlocks));
    }
  }

  get count(): number {
    return this.firstOf.at(-1)!;
  }

  /** Not for a zero page. */
  chunkOf(page: number): number {
    const { map } = this;
    return map.kindOf(page) === pageKind.frame
      ? map.frameOf(page)
      : this.windowOf(map.sourceOf(page), map.blockOf(page));
  }

  pagesOf(chunk: number): Uint32Array {
    const { starts, pages } = this.sorted();
    return pages.subarray(starts[chunk], starts[chunk + 1]);
  }

  /** Pages of a chunk that lie near one of them in memory; does not need the lists that `pagesOf` has made. */
  *neighboursOf(page: number, chunk: number): Generator<number> {
    const { map } = this;
    const end = Math.min(page + framePages, map.pages);
    for (let near = Math.max(page - framePages + 1, 0); near < end; near++) {
      if (map.kindOf(near) !== pageKind.zero && this.chunkOf(near) === chunk) yield near;
    }
  }

  /** What a chunk is that is no frame. */
  windowAt(chunk: number): DiskWindow {
    let source = 0;
    while (chunk >= this.firstOf[source + 1]!) source++;
    return { source, first: (chunk - this.firstOf[source]!) * windowBlocks };
  }

  /** How many windows there are from `first` on, `most` at most, with pages or without. */
  windowsFrom(first: number, most: number): number {
    return Math.min(most, this.firstOf[this.windowAt(first).source + 1]! - first);
  }

  /** How many chunks from `first` on, `most` at most, lie one after the other where they are stored; none but the first is empty. */
  runLength(checkpoint: Pick<CheckpointReader, 'runLength'>, first: number, most: number): number {
    if (first < this.frames) return checkpoint.runLength(first, most);
    const { starts } = this.sorted();
    const end = first + this.windowsFrom(first, most);
    let next = first + 1;
    while (next < end && starts[next] !== starts[next + 1]) next++;
    return next - first;
  }

  /** Two passes over plain numbers: two hundredths of a second for a million pages. */
  private sorted(): PagesByChunk {
    if (this.byChunk !== null) return this.byChunk;
    const { map, count } = this;
    const starts = new Uint32Array(count + 1);
    for (let page = 0; page < map.pages; page++) {
      if (map.kindOf(page) !== pageKind.zero) starts[this.chunkOf(page) + 1]!++;
    }
    for (let chunk = 0; chunk < count; chunk++) starts[chunk + 1]! += starts[chunk]!;
    const pages = new Uint32Array(starts[count]!);
    const next = starts.slice();
    for (let page = 0; page < map.pages; page++) {
      if (map.kindOf(page) !== pageKind.zero) pages[next[this.chunkOf(page)]!++] = page;
    }
    return (this.byChunk = { starts, pages });
  }

  private windowOf(source: number, block: number): number {
    return this.firstOf[source]! + Math.floor(block / windowBlocks);
  }
}

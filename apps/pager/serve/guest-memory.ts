import { pageBytes } from '@dormouse/checkpoint';
import { DormouseError } from '@dormouse/errors';
import type { RamBlock } from '@dormouse/migration-stream';

/** Consecutive pages. */
export interface PageRange {
  readonly first: number;
  /** Behind the last one. */
  readonly end: number;
}

/** The memory of a guest, its pages numbered through all blocks in their order. */
export class GuestMemory {
  readonly pages: number;
  /** First page of each block, and the end. */
  private readonly firstPage: number[] = [0];
  private readonly numbers: Map<string, number>;

  constructor(readonly blocks: readonly RamBlock[]) {
    this.numbers = new Map(blocks.map((block, number) => [block.name, number]));
    for (const block of blocks) this.firstPage.push(this.firstPage.at(-1)! + block.bytes / pageBytes);
    this.pages = this.firstPage.at(-1)!;
  }

  /** The pages of a block. */
  rangeOf(block: number): PageRange {
    return { first: this.firstPage[block]!, end: this.firstPage[block + 1]! };
  }

  /** Index of the block a page is in. */
  blockOf(page: number): number {
    let block = 0;
    while (page >= this.firstPage[block + 1]!) block++;
    return block;
  }

  /** @param start and `length` in bytes @throws STREAM_MALFORMED when there is no such memory */
  pagesAt(name: string, start: number, length: number): PageRange {
    const block = this.numbers.get(name);
    const first = (this.firstPage[block ?? -1] ?? 0) + start / pageBytes;
    const end = first + length / pageBytes;
    if (block === undefined || !Number.isInteger(first) || !Number.isInteger(end) || end > this.firstPage[block + 1]!) {
      throw new DormouseError('STREAM_MALFORMED', `QEMU asked for a page outside of its memory (${name})`);
    }
    return { first, end };
  }
}

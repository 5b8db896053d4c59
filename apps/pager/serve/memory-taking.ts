import { framePages } from '@dormouse/checkpoint';

/** So many neighbours of one chunk, asked for one after the other, are no coincidence. */
const inARow = 3;
/** How far from there the guest goes on: its allocator takes up to so many pages at a time, and those from the last to the first. */
const nearPages = 2 * framePages;

/**
 * Tells from what a guest asks for whether it looks for something or takes memory: a kernel hands out its free pages one beside the
 * other, and what they last held is of no interest.
 */
export class MemoryTaking {
  /** Of each chunk the page asked for last, and how many were asked for in a row up to it. */
  private readonly rows = new Map<number, { readonly page: number; readonly length: number }>();
  private takenAt = -Infinity;

  /** @returns whether the guest will ask for the rest of the chunk as well */
  asked(page: number, chunk: number): boolean {
    const before = this.rows.get(chunk);
    const length = before !== undefined && Math.abs(page - before.page) === 1 ? before.length + 1 : 1;
    this.rows.set(chunk, { page, length });
    if (length < inARow && Math.abs(page - this.takenAt) > nearPages) return false;
    this.takenAt = page;
    return true;
  }
}

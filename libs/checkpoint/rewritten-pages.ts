import { pageBytes } from './layout';
import type { WakeSet } from './wake-pack';

/** Pages that came more than once, with their last content: what the guest was writing to when it froze. */
export class RewrittenPages {
  private readonly contents = new Map<number, Buffer>();

  /** @param most pages that are kept */
  constructor(private readonly most: number) {}

  note(page: number, source: Buffer, offset: number): void {
    const known = this.contents.get(page);
    if (known !== undefined) source.copy(known, 0, offset, offset + pageBytes);
    else if (this.contents.size < this.most)
      this.contents.set(page, Buffer.from(source.subarray(offset, offset + pageBytes)));
  }

  forget(page: number): void {
    this.contents.delete(page);
  }

  wakeSet(): WakeSet {
    return { pages: Uint32Array.from(this.contents.keys()), content: Buffer.concat([...this.contents.values()]) };
  }
}

import { pageBytes, pageHashBytes } from './layout';
import type { PreviousCheckpoint } from './previous-checkpoint';
import type { WakeOrder } from './wake-head';

/** Decides which pages go into the wake pack. */
export interface WakeChooser {
  /** Pages that may be chosen; their content is kept from the beginning, 4 KiB each. */
  readonly candidates: Uint32Array;
  /** Asked twice at most: while the guest still runs, when most pages have come, and when it stands still and all have. */
  choose(seen: SeenPages): WakeChoice;
}

export interface WakeChoice extends WakeOrder {
  /** To be kept with the checkpoint, for whoever chooses next. */
  readonly workingSet: Buffer;
}

/** What a save has seen of the pages that can be chosen. */
export interface SeenPages {
  /** Pages that came more than once: what the guest was writing to while it was being saved. */
  readonly rewritten: readonly number[];
  /** Whether the page can be chosen: its content was kept. */
  readonly has: (page: number) => boolean;
  /** Whether a page that can be chosen has another content than in the previous checkpoint. */
  readonly written: (page: number) => boolean;
}

/** For whoever knows nothing of earlier wakes: what the guest was writing to. */
export const rewrittenPages: WakeChooser = {
  candidates: new Uint32Array(0),
  choose: ({ rewritten }) => ({
    pages: Uint32Array.from(rewritten),
    ranksMs: new Uint32Array(rewritten.length),
    onTrial: 0,
    workingSet: Buffer.alloc(0),
  }),
};

const flag = { candidate: 1, rewritten: 2, changed: 4 } as const;
const mayBeChosen = flag.candidate | flag.rewritten;
const zeroPage = Buffer.alloc(pageBytes);

/** The pages that may come into the wake set, with their last content. */
export class ChoosablePages {
  private readonly flags: Uint8Array;
  private readonly contents = new Map<number, Buffer>();
  private readonly hashes = new Map<number, Buffer>();
  private rewritten: number[] = [];
  /** QEMU goes through the memory from lower pages to higher ones, again and again. */
  private lastRewritten = -1;
  private tooMany = false;
  private notesChanges = false;

  /**
   * @param pages of the guest's memory
   * @param mostRewritten rewritten pages that are kept besides the candidates. A guest that writes more at a time writes data,
   * which it will not want first: all of them are forgotten, and what it still writes to when QEMU comes by again is kept
   */
  constructor(
    pages: number,
    private readonly chooser: WakeChooser,
    private readonly mostRewritten: number,
  ) {
    this.flags = new Uint8Array(pages);
    for (const page of chooser.candidates) if (page < pages) this.flags[page] = flag.candidate;
  }

  /** A copy of the page has come. @param again it is not the first one */
  take(page: number, source: Buffer, offset: number, again: boolean): void {
    if (again) this.noteRewritten(page);
    if (!this.isKept(page)) return;
    this.noteChanged(page);
    const known = this.contents.get(page);
    if (known !== undefined && known !== zeroPage) source.copy(known, 0, offset, offset + pageBytes);
    else this.contents.set(page, Buffer.from(source.subarray(offset, offset + pageBytes)));
  }

  takeZero(page: number): void {
    if (!this.isKept(page)) return;
    this.noteChanged(page);
    this.contents.set(page, zeroPage);
    this.hashes.delete(page);
  }

  /** The page's hash stands in `hashes` from `at` on. */
  takeHash(page: number, hashes: Buffer, at: number): void {
    if (this.isKept(page)) this.hashes.set(page, Buffer.from(hashes.subarray(at, at + pageHashBytes)));
  }

  choose(previous: PreviousCheckpoint | null): WakeChoice {
    return this.chooser.choose({
      rewritten: this.rewritten,
      has: (page) => this.contents.has(page),
      written: (page) => previous?.held(page, this.hashes.get(page) ?? null) !== true,
    });
  }

  contentOf(page: number): Buffer {
    return this.contents.get(page)!;
  }

  /** From now on. */
  noteChanges(): void {
    this.notesChanges = true;
  }

  /** Whether the page came again since. */
  hasChanged(page: number): boolean {
    return (this.flags[page]! & flag.changed) !== 0;
  }

  private isKept(page: number): boolean {
    return (this.flags[page]! & mayBeChosen) !== 0;
  }

  private noteChanged(page: number): void {
    if (this.notesChanges) this.flags[page]! |= flag.changed;
  }

  private noteRewritten(page: number): void {
    if (page <= this.lastRewritten) this.tooMany = false;
    this.lastRewritten = page;
    if (this.tooMany || (this.flags[page]! & flag.rewritten) !== 0) return;
    if (this.rewritten.length === this.mostRewritten) {
      this.forgetRewritten();
      this.tooMany = true;
      return;
    }
    this.flags[page]! |= flag.rewritten;
    this.rewritten.push(page);
  }

  private forgetRewritten(): void {
    for (const page of this.rewritten) {
      this.flags[page]! &= ~flag.rewritten;
      if (this.isKept(page)) continue;
      this.contents.delete(page);
      this.hashes.delete(page);
    }
    this.rewritten = [];
  }
}

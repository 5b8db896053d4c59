import { noPage, pageBytes, segmentPages, type WakeHead, type WakePackReader } from '@dormouse/checkpoint';
import { mayRun } from '@dormouse/working-set';
import type { PageStream } from './page-stream';

/** Of the wake set on its way to QEMU before the guest runs: little, so that the pace shows. */
const bytesBeforeRunning = 1024 * 1024;
/** Segments that are ready before they can be sent: 64 MiB. QEMU takes longer to start than they take to be read. */
const mostReady = 256;

/** The 4096 bytes of a page, `at` bytes into others. */
export interface PageContent {
  readonly content: Buffer;
  readonly at: number;
}

/**
 * The wake set, read from its beginning to its end while QEMU is still starting, and sent in that order: a part of it before
 * the guest runs, the rest while it loads its devices and runs. How large a part, the pace at which it comes decides. What is on
 * trial is kept in hand.
 */
export class WakeFeed {
  private readonly beganMs = performance.now();
  /** Segments that were read, without those that have been sent. */
  private readonly ready: Buffer[] = [];
  private opened = 0;
  private sent = 0;
  /** Pages that are to be sent. */
  private readonly toSend: number;
  /** Resolves when all of it has been read, or could not be. */
  readonly read: Promise<void>;
  private failure: Error | null = null;
  private wake: () => void = () => undefined;
  private readonly pagesAhead: number[] = [];
  private aheadOfRunning = 0;
  /** Page → its place in the wake set. */
  private readonly places: ReadonlyMap<number, number>;

  constructor(
    wakePack: WakePackReader,
    private readonly head: WakeHead,
  ) {
    this.toSend = head.pages.length - head.onTrial;
    this.places = new Map(Array.from(head.pages, (page, place) => [page, place]));
    this.read = this.readAll(wakePack).catch((error: unknown) => {
      this.failure = error as Error; // met by whoever sends
      this.wake();
    });
  }

  /** Until what is left will come before it is wanted. @throws as reading the wake pack does */
  async beforeRunning(stream: PageStream): Promise<void> {
    const sendingMs = performance.now();
    const ranksMs = this.head.ranksMs.subarray(0, this.toSend);
    const paceSince = (count: number, sinceMs: number): number => count / (performance.now() - sinceMs);
    const pace = (): number => Math.min(paceSince(this.opened, this.beganMs), paceSince(this.sent, sendingMs));
    while (!mayRun(ranksMs, this.sent, pace())) await this.sendSegment(stream, bytesBeforeRunning);
    this.aheadOfRunning = this.pagesAhead.length;
  }

  /** What is left, behind nothing but requests. */
  async afterRunning(stream: PageStream): Promise<void> {
    while (this.sent < this.toSend) await this.sendSegment(stream);
  }

  /** A page that has been read and not been sent; null for any other. */
  inHand(page: number): PageContent | null {
    const place = this.places.get(page);
    if (place === undefined || place < this.sent) return null;
    const content = this.ready[segmentOf(place) - segmentOf(this.sent)];
    return content === undefined ? null : { content, at: (place % segmentPages) * pageBytes };
  }

  /** Pages that went out without having been asked for, and how many of them before the guest ran. */
  sentAhead(): { readonly ahead: Uint32Array; readonly beforeRunning: number } {
    return { ahead: Uint32Array.from(this.pagesAhead), beforeRunning: this.aheadOfRunning };
  }

  private async readAll(wakePack: WakePackReader): Promise<void> {
    for await (const content of wakePack.content()) {
      while (this.ready.length >= mostReady && this.sent < this.toSend) await this.change();
      this.ready.push(content);
      this.opened += content.length / pageBytes;
      this.wake();
    }
  }

  private async sendSegment(stream: PageStream, mostBytes?: number): Promise<void> {
    while (this.ready.length === 0) {
      if (this.failure !== null) throw this.failure;
      await this.change();
    }
    const [content] = this.ready as [Buffer];
    const pages = this.head.pages.subarray(this.sent, Math.min(this.sent + segmentPages, this.toSend));
    const part = stream.begin(pages.length);
    for (const [n, page] of pages.entries()) {
      if (page === noPage || stream.isSent(page)) continue;
      stream.add(part, page, content, n * pageBytes);
      this.pagesAhead.push(page);
    }
    this.sent += pages.length;
    if (this.sent % segmentPages === 0) this.ready.shift(); // else the rest of it is on trial
    this.wake();
    await stream.sendInTurn(part, mostBytes);
  }

  /** Resolves when a segment was read or sent. Reader and sender never wait at the same time. */
  private change(): Promise<void> {
    return new Promise((resolve) => (this.wake = resolve));
  }
}

function segmentOf(place: number): number {
  return Math.floor(place / segmentPages);
}

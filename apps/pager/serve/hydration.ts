import { setImmediate as immediate, setTimeout as sleep } from 'node:timers/promises';
import { frameBytes } from '@dormouse/checkpoint';
import { BatchSize, type BatchLimits } from './batch-size';
import type { FetchedRange, Workshop } from './chunk-fetcher';
import { sendChunkInTurn, type StoredMemory } from './page-answers';
import type { PageStream } from './page-stream';

/** The guest faulted within this time: it is busy, let its requests have the processor and the disk. */
const quietMs = 30;
/** But no longer than this at a stretch: a guest that never rests is hydrated too. */
const longestYieldMs = 100;
/** Read together at least, in the order of the store: a request costs as much as so many bytes, however few are sent at a time. */
const leastReadBytes = 1024 * 1024;
/** Zero pages are nine bytes each: this many make a part. */
const zeroPagesPerPart = 2048;

/** What the guest is asking for meanwhile. */
export interface GuestActivity {
  /** Page requests so far. */
  readonly requests: number;
  /** When one was last waited for, as of `performance.now()`. */
  readonly lastRequestMs: number;
}

/** Chunks that lie one after the other. */
interface Batch {
  readonly first: number;
  readonly count: number;
  readonly fetched: FetchedRange;
}

/**
 * Sends all that was not asked for: first what lies beside that, then in the order of the store. Much at a time while the guest
 * rests, little while it faults.
 * One batch is read, and hashed on another thread, while the one before it is sent.
 */
export class Hydration {
  private readonly batch: BatchSize;
  private readonly order: Generator<number>;
  /** Of each chunk, whether it was fetched here: then it is sent, or about to be. */
  private readonly fetched: Uint8Array;
  /** Whether chunks are taken one after the other by now, as they lie in the store. */
  private inOrder = false;

  constructor(
    private readonly memory: StoredMemory,
    private readonly stream: PageStream,
    private readonly guest: GuestActivity,
    private readonly limits: BatchLimits,
    private readonly onProgress: () => void,
    touched: readonly number[] = [],
  ) {
    this.batch = new BatchSize(limits);
    this.fetched = new Uint8Array(memory.chunks.count);
    this.order = this.unsentChunks(touched);
  }

  /** To the last page. @throws as reading chunks does */
  async run(): Promise<void> {
    const { hasher } = this.memory;
    const bytes = this.limits.most * frameBytes;
    const workshops = [0, 1].map((): Workshop => ({ hasher, memory: hasher.allocate(bytes) }));
    let coming = this.fetchBatch(workshops[0]!);
    for (let n = 1; ; n++) {
      const batch = await coming;
      if (batch === null) break;
      coming = this.fetchBatch(workshops[n % 2]!);
      coming.catch(() => undefined); // met in its turn
      await this.send(batch);
    }
    await this.sendZeroPages();
  }

  /** Null when there is nothing left to fetch. */
  private async fetchBatch(workshop: Workshop): Promise<Batch | null> {
    const { chunks, checkpoint, fetcher } = this.memory;
    const { value: first, done } = this.order.next() as IteratorResult<number, undefined>;
    if (done === true) return null;
    await this.yieldToGuest();
    const count = fetcher.alike(first, chunks.runLength(checkpoint, first, this.batch.next(this.guest.requests)));
    for (let chunk = first; chunk < first + count; chunk++) this.fetched[chunk] = 1;
    const leastBytes = this.inOrder ? leastReadBytes : 0;
    return { first, count, fetched: await fetcher.fetchAll(first, count, workshop, leastBytes) };
  }

  private async send({ first, count, fetched }: Batch): Promise<void> {
    const { chunks } = this.memory;
    for (let chunk = first; chunk < first + count; chunk++) {
      await immediate(); // a request that has come goes first
      await sendChunkInTurn(this.stream, chunks.pagesOf(chunk), fetched.open(chunk));
    }
    this.onProgress();
  }

  private async sendZeroPages(): Promise<void> {
    const { pages } = this.memory.checkpoint.map;
    let part = this.stream.begin(1);
    let inPart = 0;
    for (let page = 0; page < pages; page++) {
      if (this.stream.isSent(page)) continue;
      this.stream.add(part, page, null, 0);
      if (++inPart < zeroPagesPerPart) continue;
      await this.stream.sendInTurn(part);
      part = this.stream.begin(1);
      inPart = 0;
    }
    await this.stream.sendInTurn(part);
  }

  private async yieldToGuest(): Promise<void> {
    const until = performance.now() + longestYieldMs;
    while (performance.now() - this.guest.lastRequestMs < quietMs && performance.now() < until) await sleep(1);
  }

  private *unsentChunks(touched: readonly number[]): Generator<number> {
    const { chunks } = this.memory;
    const isUnsent = (chunk: number): boolean =>
      this.fetched[chunk] === 0 && chunks.pagesOf(chunk).some((page) => !this.stream.isSent(page));
    for (const chunk of touched) if (isUnsent(chunk)) yield chunk;
    this.inOrder = true;
    for (let chunk = 0; chunk < chunks.count; chunk++) if (isUnsent(chunk)) yield chunk;
  }
}

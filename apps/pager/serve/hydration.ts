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
/** Read, or being read and hashed, while one batch is sent: a cold disk and the thread that hashes are to be busy at the same time. */
const batchesAhead = 2;
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
interface ChunkRange {
  readonly first: number;
  readonly count: number;
}

interface Batch extends ChunkRange {
  readonly fetched: FetchedRange;
}

/**
 * Sends all that was not asked for: first what lies beside that, then in the order of the store. Much at a time while the guest
 * rests, little while it faults.
 * Some batches are read, and hashed on another thread, while the one before them is sent.
 */
export class Hydration {
  private readonly batch: BatchSize;
  /** Whoever asks is answered in turn, once it is time. */
  private readonly ranges: AsyncGenerator<ChunkRange, void>;
  /** Of each chunk, whether it was fetched here: then it is sent, or about to be. */
  private readonly fetched: Uint8Array;

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
    this.ranges = this.unsentRanges(touched);
  }

  /** To the last page. @throws as reading chunks does */
  async run(): Promise<void> {
    const { hasher } = this.memory;
    const bytes = this.limits.most * frameBytes;
    const workshops = Array.from({ length: batchesAhead + 1 }, (): Workshop => ({
      hasher,
      memory: hasher.allocate(bytes),
    }));
    const coming = workshops.map((workshop) => this.begin(workshop));
    for (let n = 0; ; n = (n + 1) % workshops.length) {
      const batch = await coming[n]!;
      if (batch === null) break;
      await this.send(batch);
      coming[n] = this.begin(workshops[n]!);
    }
    await this.sendZeroPages();
  }

  private begin(workshop: Workshop): Promise<Batch | null> {
    const batch = this.fetchBatch(workshop);
    batch.catch(() => undefined); // met in its turn
    return batch;
  }

  /** Null when there is nothing left to fetch. */
  private async fetchBatch(workshop: Workshop): Promise<Batch | null> {
    const next = await this.ranges.next();
    if (next.done === true) return null;
    const { first, count } = next.value;
    return { first, count, fetched: await this.memory.fetcher.fetchAll(first, count, workshop) };
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

  private async *unsentRanges(touched: readonly number[]): AsyncGenerator<ChunkRange, void> {
    const { chunks, checkpoint } = this.memory;
    for (const first of this.unsentChunks(touched)) {
      await this.yieldToGuest();
      const count = chunks.runLength(checkpoint, first, this.batch.next(this.guest.requests));
      for (let chunk = first; chunk < first + count; chunk++) this.fetched[chunk] = 1;
      yield { first, count };
    }
  }

  private *unsentChunks(touched: readonly number[]): Generator<number> {
    const { chunks } = this.memory;
    const isUnsent = (chunk: number): boolean =>
      this.fetched[chunk] === 0 && chunks.pagesOf(chunk).some((page) => !this.stream.isSent(page));
    for (const chunk of touched) if (isUnsent(chunk)) yield chunk;
    for (let chunk = 0; chunk < chunks.count; chunk++) if (isUnsent(chunk)) yield chunk;
  }
}

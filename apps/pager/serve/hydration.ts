import { setTimeout as sleep } from 'node:timers/promises';
import { BatchSize, type BatchLimits } from './batch-size';
import { chunkParts, type PageAnswers, type StoredMemory } from './page-answers';
import type { PageStream } from './page-stream';

/** The guest faulted within this time: it is busy, let its requests have the processor and the disk. */
const quietMs = 30;
/** But no longer than this at a stretch: a guest that never rests is hydrated too. */
const longestYieldMs = 100;
/** Zero pages are eighteen bytes each: this many make a part. */
const zeroPagesPerPart = 2048;

/** Sends all that was not asked for, in the order of the store: much at a time while the guest rests, little while it faults. */
export class Hydration {
  private readonly batch: BatchSize;

  constructor(
    private readonly memory: StoredMemory,
    private readonly stream: PageStream,
    private readonly answers: PageAnswers,
    limits: BatchLimits,
    private readonly onProgress: () => void,
  ) {
    this.batch = new BatchSize(limits);
  }

  /** To the last page. @throws as reading chunks does */
  async run(): Promise<void> {
    const { chunks, checkpoint, fetcher } = this.memory;
    for (let chunk = 0; chunk < chunks.count; chunk++) {
      if (!this.anyUnsent(chunk)) continue;
      await this.yieldToGuest();
      const count = chunks.runLength(checkpoint, chunk, this.batch.next(this.answers.requests));
      const contents = await fetcher.fetchAll(chunk, count);
      for (const [n, content] of contents.entries()) {
        for (const part of chunkParts(this.memory, this.stream, chunk + n, content)) {
          await this.stream.sendAfter(this.batch.bytesInFlight, part);
        }
      }
      this.onProgress();
      chunk += count - 1;
    }
    await this.sendZeroPages();
  }

  private async sendZeroPages(): Promise<void> {
    const { pages } = this.memory.checkpoint.map;
    let part = this.stream.begin(1);
    let inPart = 0;
    for (let page = 0; page < pages; page++) {
      if (this.stream.isSent(page)) continue;
      this.stream.add(part, page, null, 0);
      if (++inPart < zeroPagesPerPart) continue;
      await this.stream.sendAfter(this.batch.bytesInFlight, part);
      part = this.stream.begin(1);
      inPart = 0;
    }
    await this.stream.sendAfter(this.batch.bytesInFlight, part);
  }

  private async yieldToGuest(): Promise<void> {
    const until = performance.now() + longestYieldMs;
    while (performance.now() - this.answers.lastRequestMs < quietMs && performance.now() < until) await sleep(1);
  }

  private anyUnsent(chunk: number): boolean {
    return this.memory.chunks.pagesOf(chunk).some((page) => !this.stream.isSent(page));
  }
}

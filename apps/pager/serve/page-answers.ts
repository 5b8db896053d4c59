import { framePages, pageKind, type CheckpointReader } from '@dormouse/checkpoint';
import type { ChunkFetcher } from './chunk-fetcher';
import type { Chunks } from './chunks';
import type { PageRange } from './guest-memory';
import type { PageStream } from './page-stream';
import type { WakeRecord } from './wake-record';

/** The pages of a checkpoint and how they are fetched; known only once the page map was read. */
export interface StoredMemory {
  readonly checkpoint: CheckpointReader;
  readonly chunks: Chunks;
  readonly fetcher: ChunkFetcher;
}

/**
 * Answers what the guest asks for, and sends what else was read for it a little later: until then what the guest wants of it
 * is asked for, costs next to nothing since it has been read, and is learned.
 */
export class PageAnswers {
  private count = 0;
  private lastMs = 0;
  private readonly companions = new Set<number>();

  constructor(
    private readonly memory: Promise<StoredMemory>,
    private readonly stream: PageStream,
    private readonly record: WakeRecord,
    private readonly companionsAfterMs: number,
    private readonly fail: (error: Error) => void,
  ) {}

  get requests(): number {
    return this.count;
  }

  /** When the last request came, as of `performance.now()`. */
  get lastRequestMs(): number {
    return this.lastMs;
  }

  /** Of pages that QEMU asks for. */
  async answer({ first, end }: PageRange): Promise<void> {
    const askedMs = performance.now();
    this.count++;
    this.lastMs = askedMs;
    const { checkpoint, chunks, fetcher } = await this.memory;
    for (let page = first; page < end; page++) {
      if (this.stream.isSent(page)) continue; // on its way
      if (checkpoint.map.kindOf(page) === pageKind.zero) this.send(page, null, 0);
      else {
        const chunk = chunks.chunkOf(page);
        const content = await fetcher.fetch(chunk);
        if (this.stream.isSent(page)) continue;
        this.send(page, content, fetcher.placeIn(page, content));
        this.sendCompanions(chunk, content);
      }
      this.record.answered(page, askedMs);
    }
  }

  private send(page: number, content: Buffer | null, at: number): void {
    const part = this.stream.begin(1);
    this.stream.add(part, page, content, at);
    this.stream.send(part);
  }

  private sendCompanions(chunk: number, content: Buffer): void {
    if (this.companions.has(chunk)) return;
    this.companions.add(chunk);
    setTimeout(() => {
      this.memory.then((memory) => sendChunk(memory, this.stream, chunk, content)).catch(this.fail);
    }, this.companionsAfterMs);
  }
}

/** Sends those pages of a chunk that were not sent yet. @throws as `ChunkFetcher.placeIn` */
function sendChunk(memory: StoredMemory, stream: PageStream, chunk: number, content: Buffer): void {
  for (const part of chunkParts(memory, stream, chunk, content)) stream.send(part);
}

/** Parts with the pages of a chunk that were not sent yet. @throws as `ChunkFetcher.placeIn` */
export function* chunkParts({ chunks, fetcher }: StoredMemory, stream: PageStream, chunk: number, content: Buffer) {
  let part = stream.begin(framePages);
  let inPart = 0;
  for (const page of chunks.pagesOf(chunk)) {
    if (stream.isSent(page)) continue;
    stream.add(part, page, content, fetcher.placeIn(page, content));
    if (++inPart < framePages) continue;
    yield part;
    part = stream.begin(framePages);
    inPart = 0;
  }
  yield part;
}

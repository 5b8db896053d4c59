import { framePages, pageKind, type CheckpointReader, type PageHasher } from '@dormouse/checkpoint';
import type { ChunkFetcher, FetchedChunk } from './chunk-fetcher';
import type { Chunks } from './chunks';
import type { PageRange } from './guest-memory';
import { MemoryTaking } from './memory-taking';
import type { PageStream } from './page-stream';
import type { PageContent } from './wake-feed';
import type { WakeRecord } from './wake-record';

/**
 * A guest that takes a page of memory that nothing is in takes those beside it next, one by one: this many pages, aligned, come along.
 * They are nine bytes each, and QEMU is done with them before it would have asked for the second.
 */
const zeroPagesTogether = 64;

/** The pages of a checkpoint and how they are fetched; known only once the page map was read. */
export interface StoredMemory {
  readonly checkpoint: CheckpointReader;
  readonly chunks: Chunks;
  readonly fetcher: ChunkFetcher;
  /** Checks what stands on disk, off the loop that answers. */
  readonly hasher: PageHasher;
}

/**
 * Answers what the guest asks for. What else was read for it is sent with it once the guest has woken; until then the guest is
 * to show what of it it wants: it has to ask, which costs next to nothing, since it has been read. Zero pages show nothing, they
 * need no place in a wake set; nor does, once earlier wakes have shown what is wanted, memory that it takes.
 */
export class PageAnswers {
  private count = 0;
  /** Requests that are being answered, and when there was one last. */
  private waiting = 0;
  private lastMs = performance.now();
  private companionsToo = false;
  private readonly touched = new Set<number>();
  private taking: MemoryTaking | null = null;

  constructor(
    private readonly memory: Promise<StoredMemory>,
    private readonly stream: PageStream,
    private readonly record: WakeRecord,
    /** What need not be fetched. */
    private readonly inHand: (page: number) => PageContent | null = () => null,
  ) {}

  get requests(): number {
    return this.count;
  }

  /** When the guest last waited for a page, as of `performance.now()`: now, if it does. */
  get lastRequestMs(): number {
    return this.waiting > 0 ? performance.now() : this.lastMs;
  }

  /** Of pages that QEMU asks for. */
  async answer(pages: PageRange): Promise<void> {
    this.count++;
    this.waiting++;
    const fetchedNow = await this.sendAsked(pages).finally(() => {
      this.waiting--;
      this.lastMs = performance.now();
    });
    if (this.companionsToo) for (const chunk of fetchedNow) await this.sendReadWith(chunk);
  }

  /** @returns chunks that were fetched for them */
  private async sendAsked({ first, end }: PageRange): Promise<readonly number[]> {
    const askedMs = performance.now();
    for (let page = first; page < end; page++) {
      const known = this.stream.isSent(page) ? null : this.inHand(page);
      if (known !== null) this.send(page, askedMs, known.content, known.at);
    }
    const { checkpoint, chunks, fetcher } = await this.memory;
    const fetchedNow: number[] = [];
    for (let page = first; page < end; page++) {
      if (this.stream.isSent(page)) continue; // on its way
      if (checkpoint.map.kindOf(page) === pageKind.zero) {
        this.send(page, askedMs, null, 0);
        this.sendZeroesAround(page, checkpoint);
      } else {
        const chunk = chunks.chunkOf(page);
        const fetched = await fetcher.fetch(chunk);
        if (this.stream.isSent(page)) continue;
        this.send(page, askedMs, fetched.content, fetched.placeOf(page));
        fetchedNow.push(chunk);
        if (this.companionsToo) {
          for (const part of chunkParts(this.stream, chunks.pagesOf(chunk), fetched)) this.stream.send(part);
        } else if (this.taking?.asked(page, chunk) === true) {
          this.sendNeighbours(page, chunk, fetched, chunks);
          fetcher.readBehind(chunk);
        } else this.touched.add(chunk);
      }
    }
    return fetchedNow;
  }

  /** Earlier wakes have shown what the guest wants, and the wake set has it. */
  expectTaking(): void {
    this.taking = new MemoryTaking();
  }

  /** The guest has woken. @returns the chunks of which it has asked for a part, in their order */
  withCompanions(): number[] {
    this.companionsToo = true;
    return [...this.touched].sort((one, other) => one - other);
  }

  private sendZeroesAround(page: number, { map }: CheckpointReader): void {
    const first = page - (page % zeroPagesTogether);
    const end = Math.min(first + zeroPagesTogether, map.pages);
    const part = this.stream.begin(1);
    for (let beside = first; beside < end; beside++) {
      if (map.kindOf(beside) === pageKind.zero && !this.stream.isSent(beside)) this.stream.add(part, beside, null, 0);
    }
    this.stream.send(part);
  }

  /** The other chunks that are read with one, behind what is asked for meanwhile. */
  private async sendReadWith(chunk: number): Promise<void> {
    const { chunks, fetcher } = await this.memory;
    for (const other of fetcher.readWith(chunk)) {
      const pages = chunks.pagesOf(other);
      if (pages.every((page) => this.stream.isSent(page))) continue;
      await sendChunkInTurn(this.stream, pages, await fetcher.fetch(other));
    }
  }

  /** What is in the same chunk, near the page; found without the lists of all chunks, which take long to make. */
  private sendNeighbours(page: number, chunk: number, { content, placeOf }: FetchedChunk, chunks: Chunks): void {
    const part = this.stream.begin(framePages);
    for (const near of chunks.neighboursOf(page, chunk)) {
      if (!this.stream.isSent(near)) this.stream.add(part, near, content, placeOf(near));
    }
    this.stream.send(part);
  }

  private send(page: number, askedMs: number, content: Buffer | null, at: number): void {
    const part = this.stream.begin(1);
    this.stream.add(part, page, content, at);
    this.stream.send(part, () => this.record.answered(page, askedMs));
  }
}

/** Sends those of a chunk's pages that were not sent yet, behind what is asked for meanwhile. @throws as `FetchedChunk.placeOf` */
export async function sendChunkInTurn(stream: PageStream, pages: Uint32Array, fetched: FetchedChunk): Promise<void> {
  for (const part of chunkParts(stream, pages, fetched)) await stream.sendInTurn(part);
}

/** Parts with those of a chunk's pages that were not sent yet. @throws as `FetchedChunk.placeOf` */
function* chunkParts(stream: PageStream, pages: Uint32Array, { content, placeOf }: FetchedChunk) {
  let part = stream.begin(framePages);
  let inPart = 0;
  for (const page of pages) {
    if (stream.isSent(page)) continue;
    stream.add(part, page, content, placeOf(page));
    if (++inPart < framePages) continue;
    yield part;
    part = stream.begin(framePages);
    inPart = 0;
  }
  yield part;
}

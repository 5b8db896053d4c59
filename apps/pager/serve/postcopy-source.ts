import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { framePages, pageBytes, pageKind, type CheckpointReader } from '@dormouse/checkpoint';
import { DormouseError } from '@dormouse/errors';
import { encode, RamPart, ReturnPathReader, type RamBlock, type ReturnPathMessage } from '@dormouse/migration-stream';
import type { ServeStatus } from '@dormouse/pager-control';
import { ChunkFetcher } from './chunk-fetcher';
import { Chunks } from './chunks';

/** Bytes of background fill that may lie in the socket before a page request: a request waits behind no more. */
const fillBytesInFlight = 256 * 1024;
/** Chunks the background fill reads at once. */
const fillChunks = 16;
/** Pages that are sent together: the one that was asked for and others that came with it. */
const pagesPerPart = framePages;
/** Zero pages are eighteen bytes each: this many make a part. */
const zeroPagesPerPart = 2048;
/** The guest faulted within this time: it is busy waking, let its requests have the processor and the disk. */
const quietMs = 30;
/** But no longer than this at a stretch: a guest that never rests is hydrated too. */
const longestYieldMs = 100;
const progressEveryPages = 4096;
const wakePing = 0x444f524d;

/**
 * The source of a postcopy migration whose memory lies in a checkpoint (docs/ARCHITECTURE.md, the wake). Sends no page
 * twice: QEMU would refuse the second.
 */
export class PostcopySource {
  private readonly blocks: readonly RamBlock[];
  private readonly blockNumbers: Map<string, number>;
  /** First page of each block when pages are numbered through all blocks, and the end. */
  private readonly firstPage: number[];
  private readonly sent: Uint8Array;
  private sentPages = 0;
  private reportedPages = 0;
  private pageRequests = 0;
  private lastRequestMs = 0;
  private runningSinceMs = 0;
  private readonly chunks: Chunks;
  private readonly fetcher: ChunkFetcher;
  private fail: (error: Error) => void = () => undefined;
  private onPong: () => void = () => undefined;
  private onShut: () => void = () => undefined;

  constructor(
    private readonly checkpoint: CheckpointReader,
    private readonly socket: Socket,
    private readonly update: (change: Partial<ServeStatus>) => void,
  ) {
    this.blocks = checkpoint.manifest.blocks;
    this.blockNumbers = new Map(this.blocks.map((block, number) => [block.name, number]));
    this.firstPage = [0];
    for (const block of this.blocks) this.firstPage.push(this.firstPage.at(-1)! + block.bytes / pageBytes);
    this.sent = new Uint8Array(checkpoint.map.pages);
    this.chunks = new Chunks(checkpoint);
    this.fetcher = new ChunkFetcher(checkpoint, this.chunks, (reason) => this.update({ waitingForStorage: reason }));
  }

  /**
   * Wakes the guest and stays until QEMU has every page.
   * @throws MIGRATION_FAILED when QEMU goes away, or what the checkpoint cannot be read for
   */
  async run(): Promise<void> {
    const failed = new Promise<never>((_, reject) => (this.fail = reject));
    failed.catch(() => undefined); // raced below
    const returnPath = new ReturnPathReader((message) => this.hear(message));
    this.socket.on('data', (chunk: Buffer) => {
      try {
        returnPath.push(chunk);
      } catch (error) {
        this.fail(error as Error);
      }
    });
    this.socket.on('error', () => this.socket.destroy()); // 'close' follows
    const shut = new Promise<void>((resolve) => (this.onShut = resolve));
    this.socket.once('close', () =>
      this.fail(new DormouseError('MIGRATION_FAILED', 'QEMU closed its migration socket')),
    );
    await Promise.race([failed, this.wake().then(() => this.hydrate())]);
    this.socket.write(Buffer.concat([encode.ramEnd(), encode.endOfStream()]));
    await Promise.race([failed, shut]);
    this.update({
      state: 'hydrated',
      sentPages: this.sentPages,
      pageRequests: this.pageRequests,
      hydratedMs: Math.round(performance.now() - this.runningSinceMs),
    });
    this.socket.end();
  }

  /** Sends what the guest needs to run; resolves when its devices are loaded and it does. */
  private async wake(): Promise<void> {
    const { configuration, deviceState } = this.checkpoint.wakePack;
    const wakeSet = this.wakeSetParts();
    const running = new Promise<void>((resolve) => (this.onPong = resolve));
    this.update({ state: 'loading' });
    this.socket.write(
      Buffer.concat([
        encode.preamble(configuration),
        encode.command('openReturnPath'),
        encode.postcopyAdvise(),
        encode.ramStart(this.blocks),
        ...wakeSet,
        ...this.blocks.flatMap((block, number) => encode.ramDiscard(block, this.unsentRanges(number))),
        encode.wakePackage(deviceState, wakePing),
      ]),
    );
    await running;
    this.runningSinceMs = performance.now();
    this.update({ state: 'running' });
  }

  private hear(message: ReturnPathMessage): void {
    switch (message.kind) {
      case 'pong':
        if (message.value === wakePing) this.onPong();
        return;
      case 'request-pages':
        this.pageRequests++;
        this.lastRequestMs = performance.now();
        this.answer(message).catch(this.fail);
        return;
      case 'shut':
        if (message.failed) this.fail(new DormouseError('MIGRATION_FAILED', 'QEMU could not take in the memory'));
        else this.onShut();
    }
  }

  /** Sends the pages asked for, and with them what else their frame holds: it has been read anyway. */
  private async answer(request: { block: string; start: number; length: number }): Promise<void> {
    const number = this.blockNumbers.get(request.block);
    const first = (this.firstPage[number ?? -1] ?? 0) + request.start / pageBytes;
    const end = first + request.length / pageBytes;
    if (
      number === undefined ||
      !Number.isInteger(first) ||
      !Number.isInteger(end) ||
      end > this.firstPage[number + 1]!
    ) {
      throw new DormouseError('STREAM_MALFORMED', `QEMU asked for a page outside of its memory (${request.block})`);
    }
    for (let page = first; page < end; page++) {
      if (this.sent[page] !== 0) continue; // on its way
      if (this.checkpoint.map.kindOf(page) === pageKind.zero) {
        const part = newPart(1);
        this.addPage(part, page, null, 0);
        this.socket.write(part.finish());
      } else {
        const chunk = this.chunks.chunkOf(page);
        const content = await this.fetcher.fetch(chunk);
        const part = this.chunkParts(chunk, content, page).next();
        if (part.done !== true) this.socket.write(part.value);
      }
    }
  }

  /** Sends all that has not been asked for, in the order of the store, a little at a time. */
  private async hydrate(): Promise<void> {
    for (let chunk = 0; chunk < this.chunks.count;) {
      await this.yieldToGuest();
      const count = this.chunks.runLength(this.checkpoint, chunk, fillChunks);
      if (this.anyUnsent(chunk, count)) {
        const contents = await this.fetcher.fetchAll(chunk, count);
        for (const [n, content] of contents.entries()) {
          for (const part of this.chunkParts(chunk + n, content)) await this.writeFill(part);
        }
      }
      chunk += count;
    }
    let part = new RamPart(zeroPagesPerPart * 32);
    let inPart = 0;
    for (let page = 0; page < this.checkpoint.map.pages; page++) {
      if (this.sent[page] !== 0) continue;
      this.addPage(part, page, null, 0);
      if (++inPart === zeroPagesPerPart) {
        await this.writeFill(part.finish());
        part = new RamPart(zeroPagesPerPart * 32);
        inPart = 0;
      }
    }
    if (!part.empty) await this.writeFill(part.finish());
  }

  private async yieldToGuest(): Promise<void> {
    const until = performance.now() + longestYieldMs;
    while (performance.now() - this.lastRequestMs < quietMs && performance.now() < until) await sleep(1);
  }

  private async writeFill(bytes: Buffer): Promise<void> {
    while (this.socket.writableLength > fillBytesInFlight) await once(this.socket, 'drain');
    this.socket.write(bytes);
    if (this.sentPages - this.reportedPages >= progressEveryPages) {
      this.reportedPages = this.sentPages;
      this.update({ sentPages: this.sentPages, pageRequests: this.pageRequests });
    }
  }

  /** Parts with the pages of a chunk that were not sent yet, `first` before the others. They count as sent when made. */
  private *chunkParts(chunk: number, content: Buffer, first?: number): Generator<Buffer> {
    const pages = this.chunks.pagesOf(chunk);
    let part = newPart(pagesPerPart);
    let inPart = 0;
    for (let n = first === undefined ? 0 : -1; n < pages.length; n++) {
      const page = n < 0 ? first! : pages[n]!;
      if (this.sent[page] !== 0) continue;
      this.addPage(part, page, content, this.fetcher.placeIn(page, content));
      if (++inPart < pagesPerPart) continue;
      yield part.finish();
      part = newPart(pagesPerPart);
      inPart = 0;
    }
    if (!part.empty) yield part.finish();
  }

  private anyUnsent(chunk: number, count: number): boolean {
    for (let n = 0; n < count; n++) {
      if (this.chunks.pagesOf(chunk + n).some((page) => this.sent[page] === 0)) return true;
    }
    return false;
  }

  /** The wake set, as pages that are there before the guest runs. */
  private wakeSetParts(): Buffer[] {
    const { pages, content } = this.checkpoint.wakePack.wakeSet;
    const parts: Buffer[] = [];
    for (let first = 0; first < pages.length; first += pagesPerPart) {
      const part = newPart(pagesPerPart);
      pages
        .subarray(first, first + pagesPerPart)
        .forEach((page, n) => this.addPage(part, page, content, (first + n) * pageBytes));
      parts.push(part.finish());
    }
    return parts;
  }

  /** What QEMU has to ask for, in one memory block. */
  private unsentRanges(number: number): { start: number; length: number }[] {
    const ranges: { start: number; length: number }[] = [];
    const base = this.firstPage[number]!;
    const end = this.firstPage[number + 1]!;
    for (let page = base; page < end; page++) {
      if (this.sent[page] !== 0) continue;
      const first = page;
      while (page < end && this.sent[page] === 0) page++;
      ranges.push({ start: (first - base) * pageBytes, length: (page - first) * pageBytes });
    }
    return ranges;
  }

  private addPage(part: RamPart, page: number, content: Buffer | null, at: number): void {
    let number = 0;
    while (page >= this.firstPage[number + 1]!) number++;
    const block = this.blocks[number]!;
    const index = page - this.firstPage[number]!;
    if (content === null) part.addZeroPage(block, index);
    else part.addPage(block, index, content, at);
    this.sent[page] = 1;
    this.sentPages++;
  }
}

function newPart(pages: number): RamPart {
  return new RamPart(pages * (pageBytes + 64));
}

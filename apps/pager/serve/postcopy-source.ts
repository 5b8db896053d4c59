import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { framePages, pageBytes, pageKind, type CheckpointReader } from '@dormouse/checkpoint';
import { DormouseError } from '@dormouse/errors';
import { encode, RamPart, ReturnPathReader, type RamBlock, type ReturnPathMessage } from '@dormouse/migration-stream';
import type { ServeStatus } from '@dormouse/pager-control';
import { FrameFetcher } from './frame-fetcher';

/** Bytes of background fill that may lie in the socket before a page request: a request waits behind no more. */
const fillBytesInFlight = 256 * 1024;
/** Frames the background fill reads from the store at once. */
const fillFrames = 16;
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
  private readonly frames: FrameFetcher;
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
    this.frames = new FrameFetcher(checkpoint, (reason) => this.update({ waitingForStorage: reason }));
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
    const running = new Promise<void>((resolve) => (this.onPong = resolve));
    this.update({ state: 'loading' });
    this.socket.write(
      Buffer.concat([
        encode.preamble(configuration),
        encode.command('openReturnPath'),
        encode.postcopyAdvise(),
        encode.ramStart(this.blocks),
        ...this.blocks.flatMap((block) => encode.ramDiscard(block, [{ start: 0, length: block.bytes }])),
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
      const part = new RamPart(framePages * (pageBytes + 64));
      if (this.checkpoint.map.kindOf(page) === pageKind.zero) {
        this.addPage(part, page, null, 0);
      } else {
        const frame = this.checkpoint.map.frameOf(page);
        const content = await this.frames.fetch(frame);
        if (this.sent[page] === 0) this.addPage(part, page, content, this.checkpoint.map.slotOf(page));
        this.addFrame(part, frame, content);
      }
      if (!part.empty) this.socket.write(part.finish());
    }
  }

  /** Sends all that has not been asked for, in the order of the store, a little at a time. */
  private async hydrate(): Promise<void> {
    const { frames } = this.checkpoint;
    for (let frame = 0; frame < frames.length;) {
      await this.yieldToGuest();
      const count = this.checkpoint.runLength(frame, fillFrames);
      if (this.frames.anyLive(frame, count, (page) => this.sent[page] === 0)) {
        const contents = await this.frames.fetchAll(frame, count);
        for (const [n, content] of contents.entries()) {
          const part = new RamPart(framePages * (pageBytes + 64));
          this.addFrame(part, frame + n, content);
          if (!part.empty) await this.writeFill(part.finish());
        }
      }
      frame += count;
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

  private addFrame(part: RamPart, frame: number, content: Buffer): void {
    this.frames.eachLivePage(frame, (page, slot) => {
      if (this.sent[page] === 0) this.addPage(part, page, content, slot);
    });
  }

  private addPage(part: RamPart, page: number, content: Buffer | null, slot: number): void {
    let number = 0;
    while (page >= this.firstPage[number + 1]!) number++;
    const block = this.blocks[number]!;
    const index = page - this.firstPage[number]!;
    if (content === null) part.addZeroPage(block, index);
    else part.addPage(block, index, content, slot * pageBytes);
    this.sent[page] = 1;
    this.sentPages++;
  }
}

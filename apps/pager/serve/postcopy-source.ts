import type { Socket } from 'node:net';
import type { WakeHead } from '@dormouse/checkpoint';
import { DormouseError } from '@dormouse/errors';
import { encode, ReturnPathReader, type ReturnPathMessage } from '@dormouse/migration-stream';
import type { GuestMemory, PageRange } from './guest-memory';
import type { PageStream } from './page-stream';

const wakePing = 0x444f524d;

/** The source of a postcopy migration, as QEMU sees it: what is said and heard on its socket (docs/qemu.md). */
export class PostcopySource {
  /** Rejects when QEMU goes away or says what cannot be. */
  readonly failed: Promise<never>;
  private fail: (error: Error) => void = () => undefined;
  private onPong: () => void = () => undefined;
  private onShut: () => void = () => undefined;
  private onReceived: (block: string, bitmap: Buffer) => void = () => undefined;
  private onResumed: () => void = () => undefined;

  /** @param onRequest hears of every page that QEMU asks for */
  constructor(
    private readonly memory: GuestMemory,
    private readonly socket: Socket,
    private readonly stream: PageStream,
    onRequest: (pages: PageRange) => void,
  ) {
    this.failed = new Promise<never>((_, reject) => (this.fail = reject));
    this.failed.catch(() => undefined); // raced by whoever waits
    const returnPath = new ReturnPathReader((message) => this.hear(message, onRequest));
    socket.on('data', (chunk: Buffer) => {
      try {
        returnPath.push(chunk);
      } catch (error) {
        this.fail(error as Error);
      }
    });
    socket.on('error', () => socket.destroy()); // 'close' follows
    socket.once('close', () => this.fail(new DormouseError('MIGRATION_FAILED', 'QEMU closed its migration socket')));
  }

  /** Opens the migration: pages can follow. */
  begin({ configuration }: Pick<WakeHead, 'configuration'>): void {
    this.socket.write(
      Buffer.concat([
        encode.preamble(configuration),
        encode.command('openReturnPath'),
        encode.postcopyAdvise(),
        encode.ramStart(this.memory.blocks),
      ]),
    );
  }

  /** Declares all that was not sent to be missing, and has the guest run; resolves when its devices are loaded and it does. */
  async run({ deviceState }: Pick<WakeHead, 'deviceState'>): Promise<void> {
    const running = new Promise<void>((resolve) => (this.onPong = resolve));
    this.socket.write(
      Buffer.concat([
        ...this.memory.blocks.flatMap((block, number) => encode.ramDiscard(block, this.stream.unsentRanges(number))),
        encode.wakePackage(deviceState, wakePing),
      ]),
    );
    await Promise.race([running, this.failed]);
  }

  /** Goes on where another source was cut off: learns which pages QEMU has, and has it ask again for what it waits for. */
  async resume(): Promise<void> {
    for (const [number, block] of this.memory.blocks.entries()) {
      const answered = new Promise<{ of: string; bitmap: Buffer }>((resolve) => {
        this.onReceived = (of, bitmap) => resolve({ of, bitmap });
      });
      this.socket.write(encode.askReceived(block));
      const { of, bitmap } = await Promise.race([answered, this.failed]);
      const { first, end } = this.memory.rangeOf(number);
      if (of !== block.name || bitmap.length * 8 < end - first) {
        throw new DormouseError('STREAM_MALFORMED', `QEMU did not say which pages of ${block.name} it has`);
      }
      for (let page = first; page < end; page++) {
        const n = page - first;
        if ((bitmap[n >>> 3]! & (1 << (n & 7))) !== 0) this.stream.markSent(page);
      }
    }
    const resumed = new Promise<void>((resolve) => (this.onResumed = resolve));
    this.socket.write(encode.command('postcopyResume'));
    await Promise.race([resumed, this.failed]);
  }

  /** All pages were sent: closes the migration, and resolves when QEMU has taken it all in. */
  async end(): Promise<void> {
    const shut = new Promise<void>((resolve) => (this.onShut = resolve));
    this.socket.write(Buffer.concat([encode.ramEnd(), encode.endOfStream()]));
    await Promise.race([shut, this.failed]);
    this.fail = () => undefined; // from here on QEMU may go away
    this.socket.end();
  }

  private hear(message: ReturnPathMessage, onRequest: (pages: PageRange) => void): void {
    switch (message.kind) {
      case 'pong':
        if (message.value === wakePing) this.onPong();
        return;
      case 'request-pages':
        return onRequest(this.memory.pagesAt(message.block, message.start, message.length));
      case 'received':
        return this.onReceived(message.block, message.bitmap);
      case 'resume-acknowledged':
        return this.onResumed();
      case 'shut':
        if (message.failed) this.fail(new DormouseError('MIGRATION_FAILED', 'QEMU could not take in the memory'));
        else this.onShut();
    }
  }
}

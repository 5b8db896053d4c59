import type { BlobStore, BlobWriter } from '@dormouse/storage';
import type { SealedFrames } from './frame-sealing';

/**
 * Complete packs that may be on their way to the store while the next one fills. More would only pile up in memory before a
 * store that is slower than the guest, and be what its user waits for when it freezes.
 */
const packsOnTheirWay = 1;

/** Writes packs, one after the other; a complete one is made durable in the background while the next one fills. */
export class PackWriter {
  /** Bytes of each pack so far. */
  private readonly written: number[] = [];
  private writer: BlobWriter | null = null;
  private readonly committing: Promise<void>[] = [];
  private pendingBytes = 0;
  private failure: Error | null = null;

  constructor(
    private readonly store: BlobStore,
    private readonly keyOf: (number: number) => string,
  ) {}

  get sizes(): readonly number[] {
    return this.written;
  }

  /** What the store has been given and has not made durable yet. */
  get undurableBytes(): number {
    return this.pendingBytes;
  }

  /** Calls must not overlap, and come in the order in which the frames were sealed. */
  async append({ pack, bytes }: Pick<SealedFrames, 'pack' | 'bytes'>): Promise<void> {
    this.throwFailure();
    if (pack === this.written.length) {
      this.closePack();
      await Promise.all(this.committing.slice(0, -packsOnTheirWay));
      this.throwFailure();
      this.writer = await this.store.create(this.keyOf(pack));
      this.written.push(0);
    }
    this.pendingBytes += bytes.length;
    await this.writer!.write(bytes);
    this.written[pack]! += bytes.length;
  }

  /** Resolves when every pack is durable; what comes after lies in another. */
  async finish(): Promise<void> {
    this.closePack();
    await Promise.all(this.committing);
    this.throwFailure();
  }

  /** Leaves nothing behind of what was not finished. */
  async abort(): Promise<void> {
    await this.writer?.abort();
    this.writer = null;
    await Promise.all(this.committing);
  }

  private closePack(): void {
    const writer = this.writer;
    if (writer === null) return;
    this.writer = null;
    this.committing.push(this.commit(writer, this.written.at(-1)!));
  }

  private async commit(writer: BlobWriter, bytes: number): Promise<void> {
    try {
      await writer.commit();
      this.pendingBytes -= bytes;
    } catch (error) {
      this.failure ??= error as Error; // thrown by the next append, or by finish
      await writer.abort();
    }
  }

  private throwFailure(): void {
    if (this.failure !== null) throw this.failure;
  }
}

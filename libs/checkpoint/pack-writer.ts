import type { BlobStore, BlobWriter } from '@dormouse/storage';
import { packBytes } from './layout';

/** Where a run of bytes was put. */
export interface PackPosition {
  readonly pack: number;
  readonly offset: number;
}

/** Appends to packs, one after the other; a full pack is made durable in the background while the next one fills. */
export class PackWriter {
  readonly packs: { key: string; bytes: number }[] = [];
  private writer: BlobWriter | null = null;
  private bytesInPack = 0;
  private readonly committing: Promise<void>[] = [];
  private failure: Error | null = null;

  constructor(
    private readonly store: BlobStore,
    private readonly keyOf: (number: number) => string,
  ) {}

  /** Calls must not overlap. `chunks` stay together in one pack. */
  async append(chunks: readonly Buffer[]): Promise<PackPosition> {
    if (this.failure !== null) throw this.failure;
    const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    if (this.writer !== null && this.bytesInPack + length > packBytes) this.closePack();
    if (this.writer === null) {
      const key = this.keyOf(this.packs.length);
      this.writer = await this.store.create(key);
      this.packs.push({ key, bytes: 0 });
      this.bytesInPack = 0;
    }
    const position = { pack: this.packs.length - 1, offset: this.bytesInPack };
    await this.writer.write(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks));
    this.bytesInPack += length;
    this.packs[position.pack]!.bytes = this.bytesInPack;
    return position;
  }

  /** Resolves when every pack is durable. */
  async finish(): Promise<void> {
    this.closePack();
    await Promise.all(this.committing);
    if (this.failure !== null) throw this.failure;
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
    this.committing.push(
      writer.commit().catch(async (error: unknown) => {
        this.failure ??= error as Error; // thrown by the next append, or by finish
        await writer.abort();
      }),
    );
  }
}

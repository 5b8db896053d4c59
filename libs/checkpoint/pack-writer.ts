import type { BlobStore, BlobWriter } from '@dormouse/storage';
import type { SealedFrames } from './frame-sealing';

/** Writes packs, as many side by side as are filled; a complete one is made durable in the background. */
export class PackWriter {
  private readonly open = new Map<number, BlobWriter>();
  /** Bytes of each pack so far, by its number. */
  private readonly written = new Map<number, number>();
  private readonly committing: Promise<void>[] = [];
  private failure: Error | null = null;

  constructor(
    private readonly store: BlobStore,
    private readonly keyOf: (number: number) => string,
  ) {}

  get sizes(): ReadonlyMap<number, number> {
    return this.written;
  }

  /** Calls must not overlap, and those for one pack come in the order in which its frames were sealed. */
  async append({ pack, bytes, completes }: Pick<SealedFrames, 'pack' | 'bytes' | 'completes'>): Promise<void> {
    if (this.failure !== null) throw this.failure;
    if (completes !== null) this.closePack(completes);
    let writer = this.open.get(pack);
    if (writer === undefined) {
      writer = await this.store.create(this.keyOf(pack));
      this.open.set(pack, writer);
    }
    await writer.write(bytes);
    this.written.set(pack, (this.written.get(pack) ?? 0) + bytes.length);
  }

  /** Resolves when every pack is durable. */
  async finish(): Promise<void> {
    for (const pack of [...this.open.keys()]) this.closePack(pack);
    await Promise.all(this.committing);
    if (this.failure !== null) throw this.failure;
  }

  /** Leaves nothing behind of what was not finished. */
  async abort(): Promise<void> {
    await Promise.all([...this.open.values()].map((writer) => writer.abort()));
    this.open.clear();
    await Promise.all(this.committing);
  }

  private closePack(pack: number): void {
    const writer = this.open.get(pack)!;
    this.open.delete(pack);
    this.committing.push(
      writer.commit().catch(async (error: unknown) => {
        this.failure ??= error as Error; // thrown by the next append, or by finish
        await writer.abort();
      }),
    );
  }
}

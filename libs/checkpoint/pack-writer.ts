import { createHash, type Hash } from 'node:crypto';
import type { BlobStore, BlobWriter } from '@dormouse/storage';

/**
 * A pack with this much in it is closed: what the last one has not yet made durable when the guest freezes is what its
 * user waits for. The format allows more.
 */
export const fullPackBytes = 16 * 1024 * 1024;

/** Where a run of bytes is put. */
export interface PackPosition {
  /** Number of the pack among those this writer has begun. */
  readonly pack: number;
  readonly offset: number;
}

/** A pack as far as it has been written. */
export interface WrittenPack {
  readonly bytes: number;
  /** Hex. */
  readonly sha256: string;
}

/** Appends to packs, one after the other; a full pack is made durable in the background while the next one fills. */
export class PackWriter {
  private readonly begun: { bytes: number; readonly digest: Hash }[] = [];
  private writer: BlobWriter | null = null;
  private readonly committing: Promise<void>[] = [];
  private failure: Error | null = null;

  constructor(
    private readonly store: BlobStore,
    private readonly keyOf: (number: number) => string,
  ) {}

  /** All packs, once `finish` has resolved. */
  get packs(): WrittenPack[] {
    return this.begun.map(({ bytes, digest }) => ({ bytes, sha256: digest.copy().digest('hex') }));
  }

  /**
   * Calls must not overlap.
   * @param length of what `make` gives: it stays together in one pack, and is made when its place is known
   */
  async append(length: number, make: (position: PackPosition) => Buffer): Promise<void> {
    if (this.failure !== null) throw this.failure;
    let pack = this.begun.at(-1);
    if (this.writer !== null && pack!.bytes + length > fullPackBytes) this.closePack();
    if (this.writer === null) {
      this.writer = await this.store.create(this.keyOf(this.begun.length));
      this.begun.push((pack = { bytes: 0, digest: createHash('sha256') }));
    }
    const content = make({ pack: this.begun.length - 1, offset: pack!.bytes });
    await this.writer.write(content);
    pack!.digest.update(content);
    pack!.bytes += content.length;
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

import { putBlob, type BlobStore } from '@dormouse/storage';
import { deleteCheckpoint } from './delete-checkpoint';
import { encodeFrame, type EncodedFrame } from './frame-codec';
import { FrameTable } from './frame-table';
import { frameBytes, framePages, pageBytes, pageKind } from './layout';
import { encodeManifest, sha256, storedBytes, type Manifest, type MemoryBlock, type ObjectReference } from './manifest';
import { objectKeys, type CheckpointKeys } from './object-keys';
import { PackWriter } from './pack-writer';
import { PageMap } from './page-map';
import { encodeWakePack, type WakePack } from './wake-pack';
import { DormouseError } from '@dormouse/errors';

/** Frames that are compressed at the same time and appended to the pack as one. */
const batchFrames = 16;
const batchPages = batchFrames * framePages;
/**
 * Batches on their way at most. Their sum bounds the writer's memory and how much of the guest is not yet stored when
 * it freezes: 16 MiB are an eighth of a second of a 125 MB/s link.
 */
const batchesInFlight = 16;

/** A checkpoint whose every object but the manifest is durable. */
export interface SealedCheckpoint {
  readonly manifest: Manifest;
  readonly storedBytes: number;
}

/**
 * Writes one checkpoint from pages in any order, repeated ones included: the last copy of a page counts.
 * `addPage`/`addZeroPage` while not `saturated`, then `seal`, then `commit`; `abort` at any time before the commit.
 */
export class CheckpointWriter {
  private readonly keys: CheckpointKeys;
  private readonly map: PageMap;
  private readonly frames = new FrameTable();
  private readonly packs: PackWriter;
  private superseded = 0;

  private batch: Buffer | null = null;
  private batchFirstFrame = 0;
  private batchUsedPages = 0;

  /** Objects beside the packs, written or on their way. */
  private readonly puts: Promise<void>[] = [];
  private inFlight = 0;
  private appending: Promise<void> = Promise.resolve();
  private failure: Error | null = null;
  private wakeWaiter: (() => void) | null = null;

  constructor(
    private readonly store: BlobStore,
    private readonly identity: { readonly desktopId: string; readonly checkpointId: string },
    private readonly blocks: readonly MemoryBlock[],
  ) {
    this.keys = objectKeys(identity.desktopId, identity.checkpointId);
    this.map = PageMap.forBlocks(blocks);
    this.packs = new PackWriter(store, this.keys.pack);
  }

  addZeroPage(page: number): void {
    if (this.map.kindOf(page) === pageKind.frame) this.superseded++;
    this.map.setZero(page);
  }

  /** Copies the page's 4096 bytes from `source`. @throws what an earlier page failed with */
  addPage(page: number, source: Buffer, offset: number): void {
    this.throwFailure();
    if (this.map.kindOf(page) === pageKind.frame) {
      const frame = this.map.frameOf(page);
      if (this.batch !== null && frame >= this.batchFirstFrame) {
        // Its previous copy has not left yet: take its place.
        const index = (frame - this.batchFirstFrame) * framePages + this.map.slotOf(page);
        source.copy(this.batch, index * pageBytes, offset, offset + pageBytes);
        return;
      }
      this.superseded++;
    }
    this.batch ??= this.openBatch();
    const index = this.batchUsedPages++;
    source.copy(this.batch, index * pageBytes, offset, offset + pageBytes);
    this.map.setFrame(page, this.batchFirstFrame + Math.floor(index / framePages), index % framePages);
    if (this.batchUsedPages === batchPages) this.sendBatch();
  }

  /** True when the caller must wait for `drained` before it adds more. */
  get saturated(): boolean {
    return this.inFlight >= batchesInFlight;
  }

  /** Resolves when more can be added. @throws what an earlier page failed with */
  async drained(): Promise<void> {
    while (this.saturated && this.failure === null) {
      await new Promise<void>((resolve) => (this.wakeWaiter = resolve));
    }
    this.throwFailure();
  }

  /**
   * Makes all objects but the manifest durable.
   * @throws STREAM_MALFORMED when a page was never given: no page is ever invented; the storage's own error;
   * CANCELLED after an `abort`
   */
  async seal(
    wakePack: WakePack,
    machine: Pick<Manifest, 'fingerprint' | 'diskGeneration' | 'createdAt'>,
  ): Promise<SealedCheckpoint> {
    this.sendBatch();
    const missing = this.map.count(pageKind.absent);
    if (missing > 0) throw new DormouseError('STREAM_MALFORMED', `${missing} pages of the guest never came`);
    const [wakePackReference] = await Promise.all([
      this.put(this.keys.wakePack, encodeWakePack(wakePack)),
      this.finishPacks(),
    ]);
    // After the packs: only now every frame's place is known.
    const pageMapReference = await this.put(this.keys.pageMap, await this.map.encode(this.frames));
    const zero = this.map.count(pageKind.zero);
    const manifest: Manifest = {
      ...this.identity,
      ...machine,
      blocks: this.blocks,
      pageMap: pageMapReference,
      wakePack: wakePackReference,
      packs: this.packs.packs,
      pages: { total: this.map.pages, zero, stored: this.map.pages - zero, superseded: this.superseded },
    };
    return { manifest, storedBytes: storedBytes(manifest) };
  }

  /** The commit point: from here on the checkpoint exists. */
  async commit(sealed: SealedCheckpoint): Promise<void> {
    await putBlob(this.store, this.keys.manifest, encodeManifest(sealed.manifest));
  }

  /** Removes everything written so far. */
  async abort(): Promise<void> {
    this.failure ??= new DormouseError('CANCELLED', 'the checkpoint was given up');
    this.wakeWaiter?.();
    await this.appending;
    await this.packs.abort();
    await Promise.allSettled(this.puts); // one that became durable after the removal would stay for ever
    await deleteCheckpoint(this.store, this.identity.desktopId, this.identity.checkpointId);
  }

  private openBatch(): Buffer {
    this.batchFirstFrame = this.frames.length;
    this.batchUsedPages = 0;
    return Buffer.alloc(batchFrames * frameBytes);
  }

  private sendBatch(): void {
    const batch = this.batch;
    if (batch === null) return;
    this.batch = null;
    const first = this.batchFirstFrame;
    const encoding: Promise<EncodedFrame>[] = [];
    for (let at = 0; at < this.batchUsedPages * pageBytes; at += frameBytes) {
      this.frames.reserve();
      encoding.push(encodeFrame(batch.subarray(at, at + frameBytes)));
    }
    const encoded = Promise.all(encoding);
    encoded.catch(() => undefined); // looked at below, in order; until then it must not count as unhandled
    this.inFlight++;
    // Packs are written in the order of the frames, so that reading memory in order reads storage in order.
    this.appending = this.appending.then(async () => {
      try {
        const frames = await encoded;
        if (this.failure === null) await this.keepFrames(first, frames);
      } catch (error) {
        this.failure ??= error as Error;
      }
      this.inFlight--;
      this.wakeWaiter?.();
    });
  }

  private async keepFrames(first: number, encoded: readonly EncodedFrame[]): Promise<void> {
    const position = await this.packs.append(encoded.map((frame) => frame.bytes));
    let offset = position.offset;
    encoded.forEach((frame, n) => {
      const { encoding, digest, bytes } = frame;
      this.frames.set(first + n, { pack: position.pack, encoding, offset, length: bytes.length, digest });
      offset += bytes.length;
    });
  }

  private throwFailure(): void {
    if (this.failure !== null) throw this.failure;
  }

  private async finishPacks(): Promise<void> {
    await this.appending;
    // Why the last frames could not be kept; the pack itself only knows that it cannot go on.
    this.throwFailure();
    await this.packs.finish();
  }

  private async put(key: string, content: Buffer): Promise<ObjectReference> {
    this.throwFailure();
    const written = putBlob(this.store, key, content);
    this.puts.push(written);
    await written;
    this.throwFailure();
    return { key, bytes: content.length, sha256: sha256(content) };
  }
}

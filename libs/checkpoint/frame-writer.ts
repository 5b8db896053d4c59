import type { BlobStore } from '@dormouse/storage';
import type { FrameSealer, SealedFrames, SealingMemory } from './frame-sealing';
import { FrameTable } from './frame-table';
import { HashIndex } from './hash-index';
import { HashList } from './hash-list';
import { frameBytes, framePages, pageBytes } from './layout';
import { PackWriter } from './pack-writer';
import { frameOf, slotOf, slotPlace } from './places';
import type { PreviousCheckpoint } from './previous-checkpoint';

/** Frames that are sealed together and stay together in a pack. */
const batchFrames = 16;
export const batchPages = batchFrames * framePages;

interface Batch {
  readonly memory: SealingMemory;
  readonly frames: number[];
  usedPages: number;
}

/** Which pack of which checkpoint; what the frame table counts by. */
export interface PackName {
  readonly checkpointId: string;
  readonly number: number;
}

/** The frames of a save: its own, which it fills, seals and writes into packs, and those of earlier saves that it adopts. */
export class FrameWriter {
  readonly table = new FrameTable();
  /** In the order of the frame table's pack numbers. */
  readonly packNames: PackName[] = [];
  private readonly packIndexes = new Map<string, number>();
  private readonly packs: PackWriter;
  /** The page hashes of all slots by their place, those of dead ones too. */
  readonly hashes = new HashList();
  /** Of those, the ones that this save stores. */
  private readonly stored = new HashIndex(this.hashes);
  private readonly adopted = new Map<number, number>();
  private batch: Batch | null = null;
  private readonly spareMemory: SealingMemory[] = [];
  private onTheirWay = 0;
  private appending: Promise<void> = Promise.resolve();
  private failure: Error | null = null;

  /** @param onProgress called whenever frames have been written, or cannot be */
  constructor(
    store: BlobStore,
    keyOf: (number: number) => string,
    private readonly checkpointId: string,
    private readonly sealer: FrameSealer,
    private readonly onProgress: (failure: Error | null) => void,
  ) {
    this.packs = new PackWriter(store, keyOf);
  }

  /** Pages in batches that are being sealed or written. */
  get pagesOnTheirWay(): number {
    return this.onTheirWay * batchPages;
  }

  /** What has been added and is not durable yet, compressed or not. */
  get undurableBytes(): number {
    return this.pagesOnTheirWay * pageBytes + this.packs.undurableBytes;
  }

  /** Place of a content that this save has stored, or -1. */
  find(hashes: Buffer, at: number): number {
    return this.stored.find(hashes, at);
  }

  /** Stores a page's 4096 bytes, of a content that `find` does not know. @returns their place */
  add(hashes: Buffer, at: number, content: Buffer, contentAt: number): number {
    const batch = (this.batch ??= this.openBatch());
    const slot = batch.usedPages % framePages;
    if (slot === 0) batch.frames.push(this.reserve());
    const frame = batch.frames.at(-1)!;
    content.copy(batch.memory.frames, batch.usedPages * pageBytes, contentAt, contentAt + pageBytes);
    const place = slotPlace(frame, slot);
    this.hashes.put(place, hashes, at);
    this.stored.add(place);
    if (++batch.usedPages === batchPages) this.sendBatch();
    return place;
  }

  /** The place here of a place in the previous checkpoint. */
  adopt(previous: PreviousCheckpoint, place: number): number {
    const theirs = frameOf(place);
    let frame = this.adopted.get(theirs);
    if (frame === undefined) {
      frame = this.reserve();
      this.adopted.set(theirs, frame);
      const location = previous.frames.get(theirs);
      this.table.set(frame, { ...location, pack: this.packIndex(previous.manifest.packs[location.pack]!) });
      this.hashes.putFrom(previous.hashes, slotPlace(theirs, 0), slotPlace(frame, 0), framePages);
    }
    return slotPlace(frame, slotOf(place));
  }

  /**
   * Sends what is left, so that frames are filled no further; resolves when each has its place in a pack, durable or not.
   * @throws why one has not
   */
  async placed(): Promise<void> {
    this.sendBatch();
    await this.appending;
    if (this.failure !== null) throw this.failure;
  }

  /** Resolves when all that was added is durable; what is added then lies in another pack. @throws why it is not */
  async flush(): Promise<void> {
    await this.placed();
    this.sealer.endPack();
    await this.packs.finish();
  }

  /** Resolves when all packs are durable. @returns those of this save, by their numbers */
  async finish(): Promise<{ bytes: number; sha256: string }[]> {
    const [digests] = await Promise.all([this.sealer.digests(), this.packs.finish()]);
    return this.packs.sizes.map((bytes, number) => ({ bytes, sha256: digests[number]! }));
  }

  /** Leaves nothing behind of what was not finished. */
  async abort(reason: Error): Promise<void> {
    this.failure ??= reason;
    await this.appending;
    await this.packs.abort();
  }

  private openBatch(): Batch {
    const memory = this.spareMemory.pop() ?? this.sealer.allocate(batchFrames);
    return { memory, frames: [], usedPages: 0 };
  }

  private sendBatch(): void {
    const batch = this.batch;
    if (batch === null) return;
    this.batch = null;
    batch.memory.frames.fill(0, batch.usedPages * pageBytes, batch.frames.length * frameBytes); // slots that nothing came for
    const sealing = this.sealer.seal(batch.memory, batch.frames.length);
    sealing.catch(() => undefined); // looked at below, in order; until then it must not count as unhandled
    this.onTheirWay++;
    // Packs are written in the order of the frames, so that reading memory in order reads storage in order.
    this.appending = this.appending.then(async () => {
      try {
        const sealed = await sealing;
        if (this.failure === null) {
          this.note(batch.frames, sealed);
          await this.packs.append(sealed);
        }
      } catch (error) {
        this.failure ??= error as Error;
      }
      this.onTheirWay--;
      this.spareMemory.push(batch.memory);
      this.onProgress(this.failure);
    });
  }

  private note(frames: readonly number[], { pack: number, offset: start, encodings, lengths }: SealedFrames): void {
    const pack = this.packIndex({ checkpointId: this.checkpointId, number });
    let offset = start;
    frames.forEach((frame, n) => {
      const length = lengths[n]!;
      this.table.set(frame, { pack, encoding: encodings[n]!, offset, length });
      offset += length;
    });
  }

  private packIndex({ checkpointId, number }: PackName): number {
    const name = `${checkpointId}/${number}`;
    const known = this.packIndexes.get(name);
    if (known !== undefined) return known;
    this.packIndexes.set(name, this.packNames.length);
    return this.packNames.push({ checkpointId, number }) - 1;
  }

  private reserve(): number {
    const frame = this.table.reserve();
    this.hashes.grow(slotPlace(this.table.length, 0));
    return frame;
  }
}

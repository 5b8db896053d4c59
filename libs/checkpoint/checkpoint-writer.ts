import { DormouseError } from '@dormouse/errors';
import { putBlob, type BlobStore } from '@dormouse/storage';
import type { CheckpointIdentity, ReadingKeys } from './checkpoint-reader';
import { ContentTable } from './content-table';
import { deleteUnfinished } from './delete-unfinished';
import { noDisks, type DiskCatalog, type DiskPlace } from './disk-catalog';
import { CheckpointSecrets } from './encryption';
import { compressFrame, sealFrame, type CompressedFrame } from './frame-codec';
import { FrameTable } from './frame-table';
import { encodeKnownPages, frameHashesBytes, type KnownPages, type LayerContent } from './known-pages';
import { frameBytes, framePages, pageBytes, pageHashBytes, pageKind, tagBytes } from './layout';
import {
  encodeManifest,
  sha256,
  type DiskSource,
  type Manifest,
  type MemoryBlock,
  type ObjectReference,
  type PackReference,
  type PageCounts,
} from './manifest';
import { objectKeys, type CheckpointKeys } from './object-keys';
import { PackWriter, type PackPosition } from './pack-writer';
import { hashPage } from './page-hash';
import { countPages, PageMap } from './page-map';
import type { PreviousCheckpoint } from './previous-checkpoint';
import { encodeWakePack, type WakePack } from './wake-pack';

/** Pages that are hashed together at most. */
const slabPages = 256;
/**
 * Pages on their way at most, being hashed or compressed. Their sum bounds the writer's memory and how much of the guest is
 * not yet stored when it freezes: 16 MiB are an eighth of a second of a 125 MB/s link.
 */
const pagesInFlight = 4_096;
/** Frames that are compressed at the same time and appended to the pack as one. */
const batchFrames = 16;
const batchPages = batchFrames * framePages;
/** Pages found in a file the machine may still write to; their content is kept until that is settled. 64 MiB. */
const mostUnsettledPages = 16_384;

/** Hashes pages somewhere else than on the caller's thread. */
export interface PageHasher {
  /** Memory for pages that `hash` can pass on without copying. */
  allocate(bytes: number): Buffer;
  /** The page hashes of the pages that begin at `offsets` of such memory. */
  hash(memory: Buffer, offsets: Uint32Array): Promise<Buffer>;
}

export interface WriterOptions {
  readonly keys: ReadingKeys;
  readonly hasher: PageHasher;
  /** What need not be stored again, as far as it is known. */
  readonly previous?: PreviousCheckpoint | null;
  readonly disks?: DiskCatalog;
  /** Pages of the wake set at most. */
  readonly wakeSetPages?: number;
}

/** A checkpoint whose every object but the manifest is durable. */
export interface SealedCheckpoint {
  readonly manifest: Manifest;
}

/** What became of a page's last copy. */
const outcome = { zero: 1, previous: 2, disk: 3, duplicate: 4, stored: 5 } as const;

/** Pages in the same memory. */
interface Slab {
  readonly source: Buffer;
  readonly offsets: number[];
  readonly pages: number[];
  /** Number of the copy, for each page. */
  readonly copies: number[];
}

interface Batch {
  readonly content: Buffer;
  readonly frames: number[];
  usedPages: number;
}

/**
 * Writes one checkpoint from pages in any order, repeated ones included: the last copy of a page counts. A page is hashed,
 * looked for in what is known already, and stored when it is found nowhere.
 * `addPage`/`addZeroPage` while not `saturated`, then `seal`, then `commit`; `abort` at any time before the commit has resolved.
 */
export class CheckpointWriter {
  private readonly keys: CheckpointKeys;
  private readonly secrets: CheckpointSecrets;
  private readonly map: PageMap;
  private readonly frames = new FrameTable();
  private readonly packs: PackWriter;
  private readonly previous: PreviousCheckpoint | null;
  private readonly disks: DiskCatalog;

  /** Number of the last copy of each page; 0 before the first. An older copy that is still on its way is dropped. */
  private readonly lastCopy: Uint32Array;
  private copies = 0;
  private readonly outcomes: Uint8Array;
  private superseded = 0;

  /** Contents in frames of this save: page hash → frame, slot. */
  private readonly stored = new ContentTable();
  /** Page hashes of the slots of each frame. */
  private slotHashes = Buffer.alloc(1024 * frameHashesBytes);
  private readonly adopted = new Map<number, number>();
  private readonly packRefs: { readonly checkpointId: string; readonly number: number }[] = [];
  private readonly packIndex = new Map<string, number>();
  private readonly sourceIndex = new Map<string, number>();
  private readonly layerContents = new Map<number, LayerContent>();
  /** Pages whose place on disk may still be overwritten, with their content. */
  private readonly unsettled = new Map<number, Buffer>();
  /** Pages that came more than once, with their last content: what the guest was writing to when it froze. */
  private readonly rewritten = new Map<number, Buffer>();

  private slab: Slab | null = null;
  private batch: Batch | null = null;
  private readonly spareBatches: Buffer[] = [];
  private pagesGiven = 0;
  private pagesTaken = 0;
  private batchesOnTheirWay = 0;
  private deciding: Promise<void> = Promise.resolve();
  private appending: Promise<void> = Promise.resolve();
  /** Objects beside the packs, written or on their way. */
  private readonly puts: Promise<void>[] = [];
  private failure: Error | null = null;
  private wakeWaiter: (() => void) | null = null;

  constructor(
    private readonly store: BlobStore,
    private readonly identity: CheckpointIdentity,
    private readonly blocks: readonly MemoryBlock[],
    private readonly options: WriterOptions,
  ) {
    this.keys = objectKeys(identity.desktopId, identity.checkpointId);
    this.secrets = new CheckpointSecrets(options.keys.dataKey, identity.checkpointId);
    this.map = PageMap.forBlocks(blocks);
    this.packs = new PackWriter(store, this.keys.pack);
    this.previous = options.previous ?? null;
    this.disks = options.disks ?? noDisks;
    this.lastCopy = new Uint32Array(countPages(blocks));
    this.outcomes = new Uint8Array(this.lastCopy.length);
  }

  addZeroPage(page: number): void {
    this.lastCopy[page] = ++this.copies;
    this.rewritten.delete(page);
    this.leavePlace(page);
    this.map.setZero(page);
    this.outcomes[page] = outcome.zero;
  }

  /**
   * The page's 4096 bytes stand in `source`, memory of the hasher's, and must stay there until `taken` has counted them.
   * @throws what an earlier page failed with
   */
  addPage(page: number, source: Buffer, offset: number): void {
    this.throwFailure();
    if (this.slab?.source !== source) this.sendSlab();
    const slab = (this.slab ??= { source, offsets: [], pages: [], copies: [] });
    if (this.lastCopy[page] !== 0) this.noteRewritten(page, source.subarray(offset, offset + pageBytes));
    this.lastCopy[page] = ++this.copies;
    this.pagesGiven++;
    slab.offsets.push(offset);
    slab.pages.push(page);
    if (slab.copies.push(this.copies) === slabPages) this.sendSlab();
  }

  /** Pages given by `addPage` so far. */
  get given(): number {
    return this.pagesGiven;
  }

  /** How many of those, in the order they were given, are no longer looked at where they stood. */
  get taken(): number {
    return this.pagesTaken;
  }

  /** True when the caller must wait for `drained` before it adds more. */
  get saturated(): boolean {
    return this.pagesGiven - this.pagesTaken + this.batchesOnTheirWay * batchPages >= pagesInFlight;
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
    machineState: Omit<WakePack, 'wakeSet'>,
    machine: Pick<Manifest, 'fingerprint' | 'diskGeneration' | 'createdAt'>,
  ): Promise<SealedCheckpoint> {
    this.sendSlab();
    await this.deciding;
    this.throwFailure();
    this.settle();
    this.sendBatch();
    const missing = this.map.count(pageKind.absent);
    if (missing > 0) throw new DormouseError('STREAM_MALFORMED', `${missing} pages of the guest never came`);
    const wakeSet = {
      pages: Uint32Array.from(this.rewritten.keys()),
      content: Buffer.concat([...this.rewritten.values()]),
    };
    // The guest stands still: everything at once, as soon as it can be.
    const placed = this.framesPlaced();
    const [wakePack, pageMap, knownPages] = await Promise.all([
      encodeWakePack({ ...machineState, wakeSet }).then((plain) => this.putSecret('wakePack', plain)),
      placed.then(() => this.map.encode(this.frames)).then((plain) => this.putSecret('pageMap', plain)),
      placed.then(() => this.putSecret('knownPages', encodeKnownPages(this.knownPages()))),
      placed.then(() => this.packs.finish()),
    ]);
    const pages = { ...this.countOutcomes(), wakeSet: wakeSet.pages.length };
    const written = this.packs.packs.reduce((sum, { bytes }) => sum + bytes, 0);
    const previous = this.previous?.manifest ?? null;
    const manifest: Manifest = {
      ...this.identity,
      ...machine,
      keyId: this.options.keys.dataKey.keyId,
      lineage: { previous: previous?.checkpointId ?? null, depth: previous === null ? 0 : previous.lineage.depth + 1 },
      diskSources: this.diskSources(),
      blocks: this.blocks,
      pageMap,
      knownPages,
      wakePack,
      packs: this.allPacks(),
      pages,
      bytes: {
        raw: (pages.stored + pages.superseded) * pageBytes,
        written: written + pageMap.bytes + knownPages.bytes + wakePack.bytes,
      },
    };
    return { manifest };
  }

  /** The commit point: from here on the checkpoint exists. @throws the storage's own error; CANCELLED after an `abort` */
  async commit({ manifest }: SealedCheckpoint): Promise<void> {
    this.throwFailure();
    const written = putBlob(this.store, this.keys.manifest, encodeManifest(manifest, this.secrets));
    this.puts.push(written);
    await written;
    this.throwFailure();
  }

  /** Removes everything written so far, and what is on its way when that has arrived. */
  async abort(): Promise<void> {
    this.failure ??= new DormouseError('CANCELLED', 'the checkpoint was given up');
    this.wakeWaiter?.();
    await this.deciding;
    await this.appending;
    await this.packs.abort();
    await Promise.allSettled(this.puts); // one that became durable after the removal would stay for ever
    await deleteUnfinished(this.store, this.identity.desktopId, this.identity.checkpointId);
  }

  // Hashing

  private sendSlab(): void {
    const slab = this.slab;
    if (slab === null) return;
    this.slab = null;
    const hashing = this.options.hasher.hash(slab.source, Uint32Array.from(slab.offsets));
    hashing.catch(() => undefined); // looked at below, in order; until then it must not count as unhandled
    this.deciding = this.deciding.then(async () => {
      try {
        const hashes = await hashing;
        if (this.failure === null) this.decide(slab, hashes);
      } catch (error) {
        this.failure ??= error as Error;
      }
      this.pagesTaken += slab.pages.length;
      this.wakeWaiter?.();
    });
  }

  // Deciding where a page is, in the order of the copies

  private decide(slab: Slab, hashes: Buffer): void {
    slab.pages.forEach((page, n) => {
      if (this.lastCopy[page] !== slab.copies[n]) return; // overtaken on its way
      this.leavePlace(page);
      this.place(page, hashes, n * pageHashBytes, slab.source, slab.offsets[n]!);
    });
  }

  /** The page gets another place. */
  private leavePlace(page: number): void {
    if (this.outcomes[page] === outcome.stored) this.superseded++;
    this.unsettled.delete(page);
  }

  private place(page: number, hashes: Buffer, at: number, content: Buffer, contentAt: number): void {
    const known = this.previous?.findFrame(hashes, at) ?? null;
    if (known !== null) {
      this.map.setFrame(page, this.adopt(known.frame), known.slot);
      this.outcomes[page] = outcome.previous;
      return;
    }
    const layer = this.previous?.findLayer(hashes, at) ?? null;
    if (layer !== null) {
      this.setDisk(page, layer, hashes, at);
      this.outcomes[page] = outcome.previous;
      return;
    }
    const place = this.disks.find(hashes, at);
    if (place !== null && (place.settled || this.unsettled.size < mostUnsettledPages)) {
      this.setDisk(page, place, hashes, at);
      if (!place.settled) this.unsettled.set(page, Buffer.from(content.subarray(contentAt, contentAt + pageBytes)));
      this.outcomes[page] = outcome.disk;
      return;
    }
    this.placeInFrame(page, hashes, at, content, contentAt);
  }

  private placeInFrame(page: number, hashes: Buffer, at: number, content: Buffer, contentAt: number): void {
    const entry = this.stored.find(hashes, at);
    if (entry >= 0) {
      this.map.setFrame(page, this.stored.first(entry), this.stored.second(entry));
      this.outcomes[page] = outcome.duplicate;
      return;
    }
    const { frame, slot } = this.storePage(hashes, at, content, contentAt);
    this.map.setFrame(page, frame, slot);
    this.outcomes[page] = outcome.stored;
  }

  private setDisk(
    page: number,
    { source, block }: Pick<DiskPlace, 'source' | 'block'>,
    hashes: Buffer,
    at: number,
  ): void {
    const index = intern(this.sourceIndex, source);
    this.map.setDisk(page, index, block, hashes, at);
    if (source.startsWith('image/')) return;
    const hash = Buffer.from(hashes.subarray(at, at + pageHashBytes));
    this.layerContents.set(index * 2 ** 32 + block, { hash, source: index, block });
  }

  /** The number here of a frame of the previous checkpoint. */
  private adopt(previousFrame: number): number {
    let frame = this.adopted.get(previousFrame);
    if (frame === undefined) {
      frame = this.frames.reserve();
      this.adopted.set(previousFrame, frame);
      const { manifest, frames } = this.previous!;
      const location = frames.get(previousFrame);
      const { checkpointId, number } = manifest.packs[location.pack]!;
      this.frames.set(frame, { ...location, pack: this.packReference(checkpointId, number) });
      this.previous!.hashesOf(previousFrame).copy(this.hashesOf(frame));
    }
    return frame;
  }

  /**
   * The machine is frozen and its disks are flushed: pages that were found in a file it could write to are still there, or
   * they are stored.
   */
  private settle(): void {
    const pages = [...this.unsettled];
    this.unsettled.clear();
    const sources = [...this.sourceIndex.keys()];
    for (const [page, content] of pages) {
      const block = this.disks.readNow(sources[this.map.sourceOf(page)]!, this.map.blockOf(page));
      if (block.equals(content)) continue;
      this.layerContents.delete(this.map.sourceOf(page) * 2 ** 32 + this.map.blockOf(page));
      this.placeInFrame(page, hashPage(this.options.keys.contentKey, content), 0, content, 0);
    }
  }

  // Storing

  private storePage(hashes: Buffer, at: number, content: Buffer, contentAt: number): { frame: number; slot: number } {
    const batch = (this.batch ??= {
      content: this.spareBatches.pop() ?? Buffer.alloc(batchFrames * frameBytes),
      frames: [],
      usedPages: 0,
    });
    const slot = batch.usedPages % framePages;
    if (slot === 0) batch.frames.push(this.frames.reserve());
    const frame = batch.frames.at(-1)!;
    content.copy(batch.content, batch.usedPages * pageBytes, contentAt, contentAt + pageBytes);
    hashes.copy(this.hashesOf(frame), slot * pageHashBytes, at, at + pageHashBytes);
    this.stored.set(hashes, at, frame, slot);
    if (++batch.usedPages === batchPages) this.sendBatch();
    return { frame, slot };
  }

  private sendBatch(): void {
    const batch = this.batch;
    if (batch === null) return;
    this.batch = null;
    batch.content.fill(0, batch.usedPages * pageBytes); // slots that nothing came for
    const compressing = Promise.all(
      batch.frames.map((_, n) => compressFrame(batch.content.subarray(n * frameBytes, (n + 1) * frameBytes))),
    );
    compressing.catch(() => undefined); // looked at below, in order; until then it must not count as unhandled
    this.batchesOnTheirWay++;
    // Packs are written in the order of the frames, so that reading memory in order reads storage in order.
    this.appending = this.appending.then(async () => {
      try {
        const compressed = await compressing;
        if (this.failure === null) await this.keepFrames(batch.frames, compressed);
      } catch (error) {
        this.failure ??= error as Error;
      }
      this.batchesOnTheirWay--;
      this.spareBatches.push(batch.content);
      this.wakeWaiter?.();
    });
  }

  private keepFrames(frames: readonly number[], compressed: readonly CompressedFrame[]): Promise<void> {
    const length = compressed.reduce((sum, { bytes }) => sum + bytes.length + tagBytes, 0);
    return this.packs.append(length, (position) => this.sealFrames(frames, compressed, position));
  }

  private sealFrames(
    frames: readonly number[],
    compressed: readonly CompressedFrame[],
    { pack: number, offset: start }: PackPosition,
  ): Buffer {
    const pack = this.packReference(this.identity.checkpointId, number);
    let offset = start;
    const sealed = compressed.map((frame, n) => {
      const bytes = sealFrame(frame, { number, key: this.secrets.pack }, offset);
      this.frames.set(frames[n]!, { pack, encoding: frame.encoding, offset, length: bytes.length });
      offset += bytes.length;
      return bytes;
    });
    return Buffer.concat(sealed);
  }

  /** Every frame has its place in a pack, durable or not. */
  private async framesPlaced(): Promise<void> {
    await this.appending;
    // Why the last frames could not be kept; the pack itself only knows that it cannot go on.
    this.throwFailure();
  }

  private async putSecret(kind: 'wakePack' | 'pageMap' | 'knownPages', plaintext: Buffer): Promise<ObjectReference> {
    this.throwFailure();
    const content = this.secrets.encryptObject(kind, plaintext);
    const written = putBlob(this.store, this.keys[kind], content);
    this.puts.push(written);
    await written;
    this.throwFailure();
    return { bytes: content.length, sha256: sha256(content) };
  }

  // What the manifest and the known pages say

  private packReference(checkpointId: string, number: number): number {
    const index = intern(this.packIndex, `${checkpointId}/${number}`);
    if (index === this.packRefs.length) this.packRefs.push({ checkpointId, number });
    return index;
  }

  private allPacks(): PackReference[] {
    const own = this.packs.packs;
    const earlier = new Map(this.previous?.manifest.packs.map((pack) => [`${pack.checkpointId}/${pack.number}`, pack]));
    return this.packRefs.map(({ checkpointId, number }) =>
      checkpointId === this.identity.checkpointId
        ? { checkpointId, number, ...own[number]! }
        : earlier.get(`${checkpointId}/${number}`)!,
    );
  }

  private diskSources(): DiskSource[] {
    const earlier = new Map(this.previous?.manifest.diskSources.map(({ name, blocks }) => [name, blocks]));
    return [...this.sourceIndex.keys()].map((name) => ({
      name,
      blocks: Math.max(this.disks.blocks(name), earlier.get(name) ?? 0),
    }));
  }

  private knownPages(): KnownPages {
    const live = new Uint8Array(this.frames.length * framePages);
    const liveLayers = new Set<number>();
    for (let page = 0; page < this.map.pages; page++) {
      const kind = this.map.kindOf(page);
      if (kind === pageKind.frame) live[this.map.frameOf(page) * framePages + this.map.slotOf(page)] = 1;
      if (kind === pageKind.disk) liveLayers.add(this.map.sourceOf(page) * 2 ** 32 + this.map.blockOf(page));
    }
    const frameHashes = Buffer.from(this.slotHashes.subarray(0, live.length * pageHashBytes));
    for (let n = live.indexOf(0); n >= 0; n = live.indexOf(0, n + 1)) {
      frameHashes.fill(0, n * pageHashBytes, (n + 1) * pageHashBytes);
    }
    const layers = [...this.layerContents].filter(([place]) => liveLayers.has(place)).map(([, content]) => content);
    return { frameHashes, layers };
  }

  private countOutcomes(): Omit<PageCounts, 'wakeSet'> {
    const counts = new Array<number>(6).fill(0);
    for (const one of this.outcomes) counts[one]!++;
    return {
      total: this.outcomes.length,
      zero: counts[outcome.zero]!,
      previous: counts[outcome.previous]!,
      disk: counts[outcome.disk]!,
      duplicate: counts[outcome.duplicate]!,
      stored: counts[outcome.stored]!,
      superseded: this.superseded,
    };
  }

  private hashesOf(frame: number): Buffer {
    while ((frame + 1) * frameHashesBytes > this.slotHashes.length) {
      this.slotHashes = Buffer.concat([this.slotHashes, Buffer.alloc(this.slotHashes.length)]);
    }
    return this.slotHashes.subarray(frame * frameHashesBytes, (frame + 1) * frameHashesBytes);
  }

  private noteRewritten(page: number, content: Buffer): void {
    const known = this.rewritten.get(page);
    if (known !== undefined) content.copy(known);
    else if (this.rewritten.size < (this.options.wakeSetPages ?? 0)) this.rewritten.set(page, Buffer.from(content));
  }

  private throwFailure(): void {
    if (this.failure !== null) throw this.failure;
  }
}

/** The number of a name, the next free one for a new name. */
function intern(numbers: Map<string, number>, name: string): number {
  const known = numbers.get(name);
  if (known !== undefined) return known;
  numbers.set(name, numbers.size);
  return numbers.size - 1;
}

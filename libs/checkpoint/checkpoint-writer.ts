import { setImmediate as immediate } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import { putBlob, type BlobStore } from '@dormouse/storage';
import { ChoosablePages, rewrittenPages, type WakeChooser } from './choosable-pages';
import { deleteUnfinished } from './delete-unfinished';
import { Digested } from './digested';
import { noDisks, type DiskCatalog } from './disk-catalog';
import { CheckpointSecrets } from './encryption';
import { sealHere, type FrameSealer } from './frame-sealing';
import { FrameWriter } from './frame-writer';
import { KnownPagesWriter } from './known-pages-writer';
import { pageBytes, pageHashBytes, pageKind } from './layout';
import type { Manifest, MemoryBlock, ObjectReference, PackReference } from './manifest-shape';
import { encodeManifest } from './manifest';
import { objectKeys, type CheckpointKeys } from './object-keys';
import { PageMap } from './page-map';
import { PagePlacing } from './page-placing';
import type { PreviousCheckpoint } from './previous-checkpoint';
import type { CheckpointIdentity } from './object-keys';
import type { ReadingKeys } from './encryption';
import type { MachineState } from './wake-head';
import { WakePackWriter } from './wake-pack-writer';

/** Pages that are hashed together at most. */
const slabPages = 512;
/**
 * Pages on their way at most, being hashed or sealed. Their sum bounds the writer's memory and how much of the guest is
 * not yet stored when it freezes: 16 MiB are an eighth of a second of a 125 MB/s link.
 */
const pagesInFlight = 4_096;

/** Less than this is not worth a pack of its own: a thirtieth of a second on a link of 125 MB/s. */
const worthAPackBytes = 4 * 1024 * 1024;

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
  /** Given the key of the packs; on the caller's thread when there is none. */
  readonly sealer?: (packKey: Uint8Array) => FrameSealer;
  /** What need not be stored again, as far as it is known. */
  readonly previous?: PreviousCheckpoint | null;
  readonly disks?: DiskCatalog;
  readonly wakeSet?: WakeChooser;
  /** Rewritten pages that can be chosen for the wake set, candidates apart. */
  readonly mostRewritten?: number;
}

/** A checkpoint whose every object but the manifest is durable. */
export interface SealedCheckpoint {
  readonly manifest: Manifest;
}

/** Pages in the same memory. */
interface Slab {
  readonly source: Buffer;
  readonly offsets: Uint32Array;
  readonly pages: Uint32Array;
  /** Number of the copy, for each page. */
  readonly copies: Uint32Array;
  used: number;
}

/**
 * Writes one checkpoint from pages in any order, repeated ones included: the last copy of a page counts. A page is hashed,
 * looked for in what is known already, and stored when it is found nowhere.
 * `addPage`/`addZeroPage` while not `saturated`, then `seal`, then `commit`; `abort` at any time before the commit
 * has resolved.
 */
export class CheckpointWriter {
  private readonly keys: CheckpointKeys;
  private readonly secrets: CheckpointSecrets;
  private readonly map: PageMap;
  private readonly frames: FrameWriter;
  private readonly placing: PagePlacing;
  private readonly choosable: ChoosablePages;
  private readonly wakePack: WakePackWriter;
  private wakePages: ObjectReference | null = null;
  private readonly knownPages: KnownPagesWriter;

  /** Number of the last copy of each page; 0 before the first. An older copy that is still on its way is dropped. */
  private readonly lastCopy: Uint32Array;
  private copies = 0;
  private slab: Slab | null = null;
  private readonly spareSlabs: Slab[] = [];
  private pagesArrived = 0;
  private pagesGiven = 0;
  private pagesTaken = 0;
  private placed: Promise<void> = Promise.resolve();
  /** Objects beside the packs, written or on their way. */
  private readonly puts: Promise<unknown>[] = [];
  private failure: Error | null = null;
  private wakeWaiter: (() => void) | null = null;

  constructor(
    private readonly store: BlobStore,
    private readonly identity: CheckpointIdentity,
    private readonly blocks: readonly MemoryBlock[],
    private readonly options: WriterOptions,
  ) {
    const { keys, previous = null, disks = noDisks, sealer = sealHere } = options;
    const { wakeSet = rewrittenPages, mostRewritten = 0 } = options;
    this.keys = objectKeys(identity.desktopId, identity.checkpointId);
    this.secrets = new CheckpointSecrets(keys.dataKey, identity.checkpointId);
    this.map = PageMap.forBlocks(blocks);
    const progress = (failure: Error | null): void => {
      this.failure ??= failure;
      this.wakeWaiter?.();
    };
    const sealing = sealer(this.secrets.pack);
    this.frames = new FrameWriter(store, this.keys.pack, identity.checkpointId, sealing, progress);
    this.placing = new PagePlacing(this.map, this.frames, previous, disks, keys.contentKey);
    this.choosable = new ChoosablePages(this.map.pages, wakeSet, mostRewritten);
    const contentOf = (page: number): Buffer => this.choosable.contentOf(page);
    this.wakePack = new WakePackWriter(contentOf, this.secrets, this.keys);
    this.knownPages = new KnownPagesWriter(store, this.keys.knownPages, this.secrets.beginObject('knownPages'));
    this.lastCopy = new Uint32Array(this.map.pages);
  }

  addZeroPage(page: number): void {
    this.countCopy(page);
    this.choosable.takeZero(page);
    this.placing.zero(page);
  }

  /**
   * The page's 4096 bytes stand in `source`, memory of the hasher's, and must stay there until `taken` has counted them.
   * @throws what an earlier page failed with
   */
  addPage(page: number, source: Buffer, offset: number): void {
    this.throwFailure();
    if (this.slab?.source !== source) this.sendSlab();
    const slab = (this.slab ??= this.openSlab(source));
    this.choosable.take(page, source, offset, this.lastCopy[page] !== 0);
    this.countCopy(page);
    this.pagesGiven++;
    slab.offsets[slab.used] = offset;
    slab.pages[slab.used] = page;
    slab.copies[slab.used] = this.copies;
    if (++slab.used === slabPages) this.sendSlab();
  }

  /** Pages of which a copy has come. QEMU sends those that change again, and they are no progress. */
  get arrived(): number {
    return this.pagesArrived;
  }

  /** Pages given by `addPage` so far. */
  get given(): number {
    return this.pagesGiven;
  }

  /** How many of those, in the order they were given, are no longer looked at where they stood. */
  get taken(): number {
    return this.pagesTaken;
  }

  /** Pages of which no copy has come. */
  get missing(): number {
    return this.map.pages - this.pagesArrived;
  }

  /**
   * Makes what was added durable, unless it is little, begins the known pages, and writes the wake pages. To be called once, when most
   * pages have come and the guest still runs: what is left for `seal` then does not depend on how slow the store is, nor on how large the
   * wake set is. Nothing may be added meanwhile.
   * @throws what a page failed with; CANCELLED after an `abort`
   */
  async catchUp(): Promise<void> {
    this.sendSlab();
    await this.placed;
    this.throwFailure();
    const sent = this.frames.undurableBytes < worthAPackBytes ? this.frames.placed() : this.frames.flush();
    await Promise.all([sent, this.knownPages.begin(this.frames.hashes), this.writeWakePages()]);
    this.throwFailure();
  }

  /** True when the caller must wait for `drained` before it adds more. */
  get saturated(): boolean {
    return this.pagesGiven - this.pagesTaken + this.frames.pagesOnTheirWay >= pagesInFlight;
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
    machineState: MachineState,
    machine: Pick<Manifest, 'fingerprint' | 'diskGeneration' | 'createdAt'>,
  ): Promise<SealedCheckpoint> {
    this.sendSlab();
    await this.placed;
    this.throwFailure();
    this.placing.settle();
    const placed = this.framesPlaced();
    placed.catch(() => undefined); // awaited below
    const missing = this.map.count(pageKind.absent);
    if (missing > 0) throw new DormouseError('STREAM_MALFORMED', `${missing} pages of the guest never came`);
    const { workingSet, ...wakeSet } = this.choosable.choose(this.options.previous ?? null);
    const isAsAhead = (page: number): boolean => !this.choosable.hasChanged(page);
    // The guest stands still: everything at once, as soon as it can be, and what has the longest way to go first. To encode the
    // map keeps the loop busy, and would keep the others from beginning.
    const [wakePack, knownPages, own, pageMap] = await Promise.all([
      this.wakePack.encode(machineState, wakeSet, isAsAhead).then((parts) => this.put('wakePack', parts)),
      placed.then(() => this.finishKnownPages(workingSet)),
      placed.then(() => this.frames.finish()),
      placed
        .then(() => immediate())
        .then(() => this.map.encode(this.frames.table))
        .then((plain) => this.put('pageMap', this.secrets.encryptObject('pageMap', plain))),
    ]);
    const pages = { ...this.placing.counts(), wakeSet: wakeSet.pages.length };
    const { wakePages } = this;
    const objects = [...own, pageMap, knownPages, wakePack, ...(wakePages === null ? [] : [wakePages])];
    const previous = this.options.previous?.manifest ?? null;
    const manifest: Manifest = {
      ...this.identity,
      ...machine,
      keyId: this.options.keys.dataKey.keyId,
      lineage: { previous: previous?.checkpointId ?? null, depth: previous === null ? 0 : previous.lineage.depth + 1 },
      diskSources: this.placing.diskSources(),
      blocks: this.blocks,
      pageMap,
      knownPages,
      wakePack,
      wakePages,
      packs: this.packs(own, previous),
      pages,
      bytes: {
        raw: (pages.stored + pages.superseded) * pageBytes,
        written: objects.reduce((sum, { bytes }) => sum + bytes, 0),
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
    await this.placed;
    await this.frames.abort(this.failure);
    await Promise.allSettled(this.puts); // one that became durable after the removal would stay for ever
    await this.knownPages.abort();
    await deleteUnfinished(this.store, this.identity.desktopId, this.identity.checkpointId);
  }

  private countCopy(page: number): void {
    if (this.lastCopy[page] === 0) this.pagesArrived++;
    this.lastCopy[page] = ++this.copies;
  }

  private openSlab(source: Buffer): Slab {
    const spare = this.spareSlabs.pop();
    if (spare !== undefined) return { ...spare, source, used: 0 };
    const list = (): Uint32Array => new Uint32Array(slabPages);
    return { source, offsets: list(), pages: list(), copies: list(), used: 0 };
  }

  private sendSlab(): void {
    const slab = this.slab;
    if (slab === null) return;
    this.slab = null;
    const hashing = this.options.hasher.hash(slab.source, slab.offsets.subarray(0, slab.used));
    hashing.catch(() => undefined); // looked at below, in order; until then it must not count as unhandled
    this.placed = this.placed.then(async () => {
      try {
        const hashes = await hashing;
        if (this.failure === null) this.place(slab, hashes);
      } catch (error) {
        this.failure ??= error as Error;
      }
      this.pagesTaken += slab.used;
      this.spareSlabs.push(slab);
      this.wakeWaiter?.();
    });
  }

  private place({ source, offsets, pages, copies, used }: Slab, hashes: Buffer): void {
    for (let n = 0; n < used; n++) {
      const page = pages[n]!;
      if (this.lastCopy[page] !== copies[n]) continue; // overtaken on its way
      this.placing.place(page, hashes, n * pageHashBytes, source, offsets[n]!);
      this.choosable.takeHash(page, hashes, n * pageHashBytes);
    }
  }

  /** Every frame has its place in a pack, durable or not. */
  private async framesPlaced(): Promise<void> {
    await this.frames.placed();
    this.throwFailure();
  }

  private async finishKnownPages(workingSet: Buffer): Promise<ObjectReference> {
    this.throwFailure();
    const finished = this.knownPages.finish({ ...this.placing.knownPages(), workingSet });
    this.puts.push(finished);
    const reference = await finished;
    this.throwFailure();
    return reference;
  }

  private async writeWakePages(): Promise<void> {
    const chosen = this.choosable.choose(this.options.previous ?? null);
    if (chosen.pages.length === 0) return;
    this.choosable.noteChanges();
    this.wakePages = await this.put('wakePages', await this.wakePack.encodeAhead(chosen));
  }

  private async put(kind: 'wakePack' | 'wakePages' | 'pageMap', parts: Iterable<Buffer>): Promise<ObjectReference> {
    this.throwFailure();
    const content = new Digested(parts);
    const written = putBlob(this.store, this.keys[kind], content);
    this.puts.push(written);
    await written;
    this.throwFailure();
    return content.reference();
  }

  private packs(own: readonly { bytes: number; sha256: string }[], previous: Manifest | null): PackReference[] {
    const earlier = new Map(previous?.packs.map((pack) => [`${pack.checkpointId}/${pack.number}`, pack]));
    return this.frames.packNames.map(({ checkpointId, number }) =>
      checkpointId === this.identity.checkpointId
        ? { checkpointId, number, ...own[number]! }
        : earlier.get(`${checkpointId}/${number}`)!,
    );
  }

  private throwFailure(): void {
    if (this.failure !== null) throw this.failure;
  }
}

import type { BlobStore } from '@dormouse/storage';
import { ContentTable } from './content-table';
import type { DataKey } from './encryption';
import type { FrameTable } from './frame-table';
import { HashIndex } from './hash-index';
import type { HashList } from './hash-list';
import { decodeKnownPages, type LayerContent } from './known-pages';
import { framePages, mostStoredBytes, pageKind } from './layout';
import type { Manifest } from './manifest-shape';
import type { PageMap } from './page-map';
import { blockPlace, slotPlace } from './places';
import { readObject } from './read-objects';
import { StoredCheckpoint } from './stored-checkpoint';

/** A pack of which less than this is still wanted is let go: what it holds is stored again, so that it can be removed. */
const leastLiveShare = 0.3;

/** What the next save of a desktop can find in the checkpoint before. */
export class PreviousCheckpoint {
  /** Of the hashes of all slots, those that can be found. */
  private readonly inFrames: HashIndex;
  /** Page hash → disk source, block. */
  private readonly inLayers = new ContentTable();

  private constructor(
    readonly manifest: Manifest,
    readonly frames: FrameTable,
    private readonly map: PageMap,
    /** Of the slots of all frames, by their place; that of a dead one may be zero. */
    readonly hashes: HashList,
    /** As the save that wrote it was told to keep it. */
    readonly workingSet: Buffer,
  ) {
    this.inFrames = new HashIndex(hashes);
  }

  /**
   * @param keepsLayer whether the layer of this name stays for as long as checkpoints need it
   * @throws as reading a checkpoint does
   */
  static async load(
    store: BlobStore,
    identity: { readonly desktopId: string; readonly checkpointId: string },
    dataKey: DataKey,
    keepsLayer: (source: string) => boolean,
  ): Promise<PreviousCheckpoint> {
    const stored = await StoredCheckpoint.find(store, identity, dataKey);
    const { manifest, keys, secrets } = stored;
    const [{ map, frames }, encrypted] = await Promise.all([
      stored.pageMap(),
      readObject(store, keys.knownPages, manifest.knownPages, mostStoredBytes.knownPages),
      stored.checkSizes(),
    ]);
    const known = decodeKnownPages(
      secrets.decryptObject('knownPages', encrypted, keys.knownPages),
      { frames: frames.length, diskSources: manifest.diskSources },
      keys.knownPages,
    );
    const previous = new PreviousCheckpoint(manifest, frames, map, known.slotHashes, known.workingSet);
    previous.fill(known.layers, keepsLayer);
    return previous;
  }

  /** `slotPlace` of the content with this hash, or -1. */
  findFrame(hashes: Buffer, at: number): number {
    return this.inFrames.find(hashes, at);
  }

  /** `blockPlace` of the content with this hash, its source an index into the manifest's `diskSources`; or -1. */
  findLayer(hashes: Buffer, at: number): number {
    const entry = this.inLayers.find(hashes, at);
    return entry < 0 ? -1 : blockPlace(this.inLayers.first(entry), this.inLayers.second(entry));
  }

  /** Whether the page had the content with this hash, which has `pageHashBytes`; null for a page of zeros. */
  held(page: number, hash: Buffer | null): boolean {
    const { map } = this;
    if (page >= map.pages) return false;
    switch (map.kindOf(page)) {
      case pageKind.zero:
        return hash === null;
      case pageKind.frame:
        return hash !== null && this.hashes.same(slotPlace(map.frameOf(page), map.slotOf(page)), hash, 0);
      default:
        return hash !== null && map.hasTag(page, hash, 0);
    }
  }

  /** Pages of the guest's memory. */
  get pages(): number {
    return this.map.pages;
  }

  private fill(layers: readonly LayerContent[], keepsLayer: (source: string) => boolean): void {
    const live = this.liveSlots();
    const isWorthKeeping = this.livelyPacks(live);
    for (let frame = 0; frame < this.frames.length; frame++) {
      if (!isWorthKeeping[this.frames.packOf(frame)]) continue;
      for (let place = slotPlace(frame, 0); place < slotPlace(frame + 1, 0); place++) {
        if (live[place] === 1) this.inFrames.add(place);
      }
    }
    const kept = this.manifest.diskSources.map(({ name }) => keepsLayer(name));
    for (const { hash, source, block } of layers) if (kept[source] === true) this.inLayers.set(hash, 0, source, block);
  }

  /** By place, 1 for a slot that a page is in. */
  private liveSlots(): Uint8Array {
    const { map } = this;
    const live = new Uint8Array(slotPlace(this.frames.length, 0));
    for (let page = 0; page < map.pages; page++) {
      if (map.kindOf(page) === pageKind.frame) live[slotPlace(map.frameOf(page), map.slotOf(page))] = 1;
    }
    return live;
  }

  /** Per pack, whether enough of its bytes is content that this checkpoint still has. */
  private livelyPacks(isLive: Uint8Array): boolean[] {
    const live = this.manifest.packs.map(() => 0);
    for (let frame = 0; frame < this.frames.length; frame++) {
      let slots = 0;
      for (let place = slotPlace(frame, 0); place < slotPlace(frame + 1, 0); place++) {
        if (isLive[place] === 1) slots++;
      }
      const { pack, length } = this.frames.get(frame);
      live[pack]! += (length * slots) / framePages;
    }
    return this.manifest.packs.map(({ bytes }, pack) => live[pack]! >= bytes * leastLiveShare);
  }
}

import type { DiskCatalog } from './disk-catalog';
import type { FrameWriter } from './frame-writer';
import type { KnownPages, LayerContent } from './known-pages';
import { pageBytes, pageHashBytes, pageKind } from './layout';
import type { DiskSource, PageCounts } from './manifest-shape';
import { hashPage } from './page-hash';
import type { PageMap } from './page-map';
import { blockOf, blockPlace, frameOf, slotOf, sourceOf } from './places';
import type { PreviousCheckpoint } from './previous-checkpoint';

/** Pages found in a file the machine may still write to; their content is kept until that is settled. 64 MiB. */
const mostUnsettledPages = 16_384;

/** What became of a page's last copy. */
const outcome = { zero: 1, previous: 2, disk: 3, duplicate: 4, stored: 5 } as const;

/** A page found in a file that may still change. */
interface Unsettled {
  readonly content: Buffer;
  /** In the catalog. */
  readonly place: number;
}

/**
 * Decides where each page is, in this order: the previous checkpoint, a disk file, a frame of this save, a new slot; and
 * writes that into the page map. A page that comes again is decided anew.
 */
export class PagePlacing {
  private readonly outcomes: Uint8Array;
  private superseded = 0;
  private readonly unsettled = new Map<number, Unsettled>();
  /** By `blockPlace`, its source an index into `sourceNames`. */
  private readonly layerContents = new Map<number, LayerContent>();
  /** In the order of the manifest's `diskSources`. */
  private readonly sourceNames: string[] = [];
  /** The numbers of the catalog's files, and of the previous checkpoint's sources, in `sourceNames`; once they are needed. */
  private readonly ofFile: number[] = [];
  private readonly ofPrevious: number[] = [];

  constructor(
    private readonly map: PageMap,
    private readonly frames: FrameWriter,
    private readonly previous: PreviousCheckpoint | null,
    private readonly disks: DiskCatalog,
    private readonly contentKey: Buffer,
  ) {
    this.outcomes = new Uint8Array(map.pages);
  }

  zero(page: number): void {
    this.leavePlace(page);
    this.map.setZero(page);
    this.outcomes[page] = outcome.zero;
  }

  /** @param hashes holds the page's hash from `at`, and `content` its 4096 bytes from `contentAt` */
  place(page: number, hashes: Buffer, at: number, content: Buffer, contentAt: number): void {
    this.leavePlace(page);
    this.outcomes[page] =
      this.placeInPrevious(page, hashes, at) ||
      this.placeOnDisk(page, hashes, at, content, contentAt) ||
      this.placeInFrame(page, hashes, at, content, contentAt);
  }

  /**
   * The machine is frozen and its disks are flushed: pages that were found in a file it could write to are still there, or
   * they are stored.
   */
  settle(): void {
    for (const [page, { content, place }] of this.unsettled) {
      if (this.disks.readNow(sourceOf(place), blockOf(place)).equals(content)) continue;
      this.layerContents.delete(blockPlace(this.map.sourceOf(page), this.map.blockOf(page)));
      this.outcomes[page] = this.placeInFrame(page, hashPage(this.contentKey, content), 0, content, 0);
    }
    this.unsettled.clear();
  }

  /** What content stands where now; of slots that no page is in any more, too. */
  knownPages(): Omit<KnownPages, 'workingSet'> {
    return { slotHashes: this.frames.hashes, layers: this.liveLayers() };
  }

  diskSources(): DiskSource[] {
    const earlier = new Map(this.previous?.manifest.diskSources.map(({ name, blocks }) => [name, blocks]));
    const now = new Map(this.disks.files.map(({ name }, file) => [name, file]));
    return this.sourceNames.map((name) => {
      const file = now.get(name);
      return { name, blocks: Math.max(file === undefined ? 0 : this.disks.blocks(file), earlier.get(name) ?? 0) };
    });
  }

  counts(): Omit<PageCounts, 'wakeSet'> {
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

  private liveLayers(): LayerContent[] {
    if (this.layerContents.size === 0) return [];
    const live = new Set<number>();
    for (let page = 0; page < this.map.pages; page++) {
      if (this.map.kindOf(page) !== pageKind.disk) continue;
      const place = blockPlace(this.map.sourceOf(page), this.map.blockOf(page));
      if (this.layerContents.has(place)) live.add(place); // most pages on disk stand in the golden image
    }
    return [...this.layerContents].filter(([place]) => live.has(place)).map(([, content]) => content);
  }

  private leavePlace(page: number): void {
    if (this.outcomes[page] === outcome.stored) this.superseded++;
    this.unsettled.delete(page);
  }

  private placeInPrevious(page: number, hashes: Buffer, at: number): number {
    if (this.previous === null) return 0;
    const inFrame = this.previous.findFrame(hashes, at);
    if (inFrame >= 0) {
      const place = this.frames.adopt(this.previous, inFrame);
      this.map.setFrame(page, frameOf(place), slotOf(place));
      return outcome.previous;
    }
    const inLayer = this.previous.findLayer(hashes, at);
    if (inLayer < 0) return 0;
    const theirs = sourceOf(inLayer);
    const source = (this.ofPrevious[theirs] ??= this.sourceNumber(this.previous.manifest.diskSources[theirs]!.name));
    this.setLayer(page, source, blockOf(inLayer), hashes, at);
    return outcome.previous;
  }

  private placeOnDisk(page: number, hashes: Buffer, at: number, content: Buffer, contentAt: number): number {
    const place = this.disks.find(hashes, at);
    if (place < 0) return 0;
    const file = sourceOf(place);
    const { name, settled } = this.disks.files[file]!;
    const source = (this.ofFile[file] ??= this.sourceNumber(name));
    if (settled) {
      this.map.setDisk(page, source, blockOf(place), hashes, at);
      return outcome.disk;
    }
    if (this.unsettled.size >= mostUnsettledPages) return 0;
    this.setLayer(page, source, blockOf(place), hashes, at);
    this.unsettled.set(page, { content: Buffer.from(content.subarray(contentAt, contentAt + pageBytes)), place });
    return outcome.disk;
  }

  private placeInFrame(page: number, hashes: Buffer, at: number, content: Buffer, contentAt: number): number {
    const known = this.frames.find(hashes, at);
    const place = known >= 0 ? known : this.frames.add(hashes, at, content, contentAt);
    this.map.setFrame(page, frameOf(place), slotOf(place));
    return known >= 0 ? outcome.duplicate : outcome.stored;
  }

  /** In a layer of the desktop's own disk: the next save has no other index of it than the one made here. */
  private setLayer(page: number, source: number, block: number, hashes: Buffer, at: number): void {
    this.map.setDisk(page, source, block, hashes, at);
    const hash = Buffer.from(hashes.subarray(at, at + pageHashBytes));
    this.layerContents.set(blockPlace(source, block), { hash, source, block });
  }

  private sourceNumber(name: string): number {
    const known = this.sourceNames.indexOf(name);
    return known >= 0 ? known : this.sourceNames.push(name) - 1;
  }
}

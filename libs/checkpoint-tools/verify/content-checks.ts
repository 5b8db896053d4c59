import { diskIndexOf, hasPageTag } from '../content/page-tags';
import { corrupt } from '../damage';
import { hashBytes, kinds, pageBytes, slotsPerFrame } from '../format';
import type { KnownPages, LayerEntries } from '../parse/known-pages';
import type { Manifest } from '../parse/manifest';
import type { PageMap } from '../parse/page-map';
import { pageHash } from '../parse/sealing';
import type { WakePack } from '../parse/wake-pack';
import type { Report } from '../report';

const noHash = Buffer.alloc(hashBytes);
const zeros = Buffer.alloc(pageBytes);

/** The known pages against the content they are about. */
export class KnownPagesCheck {
  constructor(
    private readonly known: KnownPages,
    private readonly contentKey: Buffer,
    private readonly key: string,
    private readonly report: Report,
  ) {}

  /** @param isLive whether any page is in that slot of the frame */
  frame(frame: number, content: Buffer, isLive: (slot: number) => boolean): void {
    for (let slot = 0; slot < slotsPerFrame; slot++) {
      const at = (frame * slotsPerFrame + slot) * hashBytes;
      const hash = this.known.frameHashes.subarray(at, at + hashBytes);
      const place = `slot ${slot} of frame ${frame}`;
      if (hash.equals(noHash)) {
        if (isLive(slot))
          this.report(corrupt(this.key, `it has no page hash for ${place}, which is in use`), 'warning');
      } else if (!pageHash(this.contentKey, content, slot * pageBytes).equals(hash)) {
        this.report(corrupt(this.key, `its page hash for ${place} is that of another content`));
      }
    }
  }
}

/** The entries of the known pages about layers: each has to point to a block. */
export function layerEntriesCheck(
  { count, source, block, hashes }: LayerEntries,
  diskSources: Manifest['diskSources'],
  { contentKey, key, report }: { readonly contentKey: Buffer; readonly key: string; readonly report: Report },
) {
  const isGood = (n: number): boolean => block[n]! < (diskSources[source[n]!]?.blocks ?? 0);
  for (let n = 0; n < count; n++) {
    if (!isGood(n)) report(corrupt(key, `its layer entry ${n} points to a block that no disk source has`));
  }
  return {
    isGood,
    check(n: number, content: Buffer, offset: number): void {
      const hash = hashes.subarray(n * hashBytes, (n + 1) * hashBytes);
      if (pageHash(contentKey, content, offset).equals(hash)) return;
      const place = `block ${block[n]} of ${diskSources[source[n]!]!.name}`;
      report(corrupt(key, `its page hash for ${place} is that of another content`));
    },
  };
}

/** The wake set's pages against those the page map points to. */
export class WakeSetCheck {
  constructor(
    private readonly wake: WakePack,
    private readonly map: PageMap,
    private readonly key: string,
    private readonly report: Report,
  ) {}

  /** Those whose content needs no frame: zero pages, and pages on disk by their tags. */
  withoutFrames(contentKey: Buffer): void {
    for (const [page, place] of this.wake.placeOf) {
      const content = this.contentAt(place);
      if (this.map.kind[page] === kinds.zero && !content.equals(zeros)) this.differs(page);
      const onDisk = diskIndexOf(this.map, page);
      if (onDisk !== null && !hasPageTag(this.map, onDisk, contentKey, content, 0)) this.differs(page);
    }
  }

  page(page: number, content: Buffer, offset: number): void {
    const place = this.wake.placeOf.get(page);
    if (place === undefined) return;
    if (content.compare(this.contentAt(place), 0, pageBytes, offset, offset + pageBytes) !== 0) this.differs(page);
  }

  private contentAt(place: number): Buffer {
    return this.wake.content.subarray(place * pageBytes, (place + 1) * pageBytes);
  }

  private differs(page: number): void {
    this.report(corrupt(this.key, `page ${page} is not the one that the page map points to`, { page }));
  }
}

import { isDormouseError } from '@dormouse/errors';
import type { BlobStore } from '@dormouse/storage';
import { changedBlock, forEachBlock, type DiskFiles } from '../content/disk-blocks';
import { Frames } from '../content/frames';
import { checkDigest, digestObject, fetchManifest, fetchObject, type Window } from '../content/objects';
import { hasPageTag } from '../content/page-tags';
import { findPlaces, type Places } from '../content/places';
import { corrupt } from '../damage';
import {
  objectKey,
  packKey,
  pageBytes,
  sealedObjects,
  slotsPerFrame,
  type CheckpointKeys,
  type CheckpointName,
  type SealedObject,
} from '../format';
import { parseKnownPages, type LayerEntries } from '../parse/known-pages';
import { memoryPages, type Manifest, type ReadManifest } from '../parse/manifest';
import { parsePageMap, type PageMap } from '../parse/page-map';
import { openSealed, openSegments } from '../parse/sealing';
import { parseWakePack } from '../parse/wake-pack';
import { checkCounts } from './check-counts';
import { KnownPagesCheck, layerEntriesCheck, WakeSetCheck } from './content-checks';
import { Findings, type Finding } from './findings';

export interface VerifyOptions extends CheckpointName {
  readonly store: BlobStore;
  /** Null: sizes and digests only. */
  readonly keys: CheckpointKeys | null;
  /** Null: disk blocks are not looked at. */
  readonly diskFiles: DiskFiles | null;
  readonly onProgress?: (progress: VerifyProgress) => void;
}

export interface VerifyProgress {
  readonly step: 'packs' | 'disk blocks';
  readonly done: number;
  readonly total: number;
}

export interface VerifyReport extends CheckpointName {
  /** `digests`: nothing was decrypted. */
  readonly depth: 'contents' | 'digests';
  /** What was left out and why, in sentences. */
  readonly notChecked: readonly string[];
  readonly checked: {
    readonly objects: number;
    readonly bytes: number;
    readonly frames: number;
    readonly pages: number;
    readonly diskBlocks: number;
  };
  readonly findings: readonly Finding[];
  /** Findings besides those in the list, which is limited. */
  readonly unlisted: number;
}

/**
 * Reads all of a checkpoint and checks all that `docs/checkpoint-format.md` says of it: objects, seals and tags, frames,
 * page map, disk blocks, known pages, wake pack, counts. Goes on after what it finds, as far as there is something to go
 * on with. Memory: the page map's tables, known pages, the wake pack, and a window of one pack.
 * @throws only what is no fault of the checkpoint's; a storage that fails for one object is a finding about that object
 */
export async function verifyCheckpoint(options: VerifyOptions): Promise<VerifyReport> {
  return new Verification(options).run();
}

const progressEvery = 16_384;
const noLayers: LayerEntries = {
  count: 0,
  hashes: Buffer.alloc(0),
  source: new Uint16Array(0),
  block: new Uint32Array(0),
};

class Verification {
  private readonly findings = new Findings();
  private readonly notChecked: string[] = [];
  private readonly checked = { objects: 0, bytes: 0, frames: 0, pages: 0, diskBlocks: 0 };
  private readonly store: BlobStore;

  constructor(private readonly options: VerifyOptions) {
    this.store = options.store;
  }

  async run(): Promise<VerifyReport> {
    const read = await this.findings.attempt(() => fetchManifest(this.store, this.options));
    const keys = read === null ? null : await this.usableKeys(read);
    if (read !== null) {
      this.checked.objects++;
      if (keys === null) await this.digests(read.manifest);
      else await this.contents(read.manifest, keys);
    }
    const { desktopId, checkpointId } = this.options;
    return {
      desktopId,
      checkpointId,
      depth: keys === null ? 'digests' : 'contents',
      notChecked: this.notChecked,
      checked: this.checked,
      findings: this.findings.listed,
      unlisted: this.findings.unlisted,
    };
  }

  /** With keys that are not its own every tag would fail and nothing be learned. */
  private async usableKeys({ checkSeal }: ReadManifest): Promise<CheckpointKeys | null> {
    const { keys } = this.options;
    const fits =
      keys !== null &&
      (await this.findings.attempt(() => {
        checkSeal(keys);
        return true;
      }));
    if (fits === true) return keys;
    const why = keys === null ? 'without keys' : 'with another key';
    this.notChecked.push(`Only sizes and digests were checked: ${why} nothing can be decrypted.`);
    return null;
  }

  private async digests(manifest: Manifest): Promise<void> {
    for (const kind of Object.keys(sealedObjects) as SealedObject[]) {
      const reference = manifest[kind];
      if (reference) await this.digest(objectKey(manifest, sealedObjects[kind].name), reference);
    }
    for (const [n, pack] of manifest.packs.entries()) {
      await this.digest(packKey(manifest.desktopId, pack), pack);
      this.options.onProgress?.({ step: 'packs', done: n + 1, total: manifest.packs.length });
    }
  }

  private async digest(key: string, reference: Manifest['pageMap']): Promise<void> {
    await this.findings.attempt(() => digestObject(this.store, key, reference));
    this.count(reference.bytes);
  }

  private async contents(manifest: Manifest, keys: CheckpointKeys): Promise<void> {
    const mapKey = objectKey(manifest, sealedObjects.pageMap.name);
    const secrets = { dataKey: keys.dataKey.key, checkpointId: manifest.checkpointId };
    const map = await this.object('pageMap', manifest, (stored) =>
      parsePageMap(openSealed('pageMap', stored, secrets, mapKey), manifest, mapKey),
    );
    const wakeKey = objectKey(manifest, sealedObjects.wakePack.name);
    const wakePages = await this.wakePages(manifest, secrets);
    const wake = await this.object('wakePack', manifest, (stored) => {
      const segments = openSegments('wakePack', stored, secrets, wakeKey);
      return wakePages && parseWakePack([...segments, ...wakePages], memoryPages(manifest), wakeKey);
    });
    if (wake !== null && wake.placeOf.size !== manifest.pages.wakeSet) {
      const says = `it says: ${manifest.pages.wakeSet} pages in the wake set, which has ${wake.placeOf.size}`;
      this.findings.report(corrupt(objectKey(manifest, 'manifest'), says), 'warning');
    }
    const knownKey = objectKey(manifest, sealedObjects.knownPages.name);
    const known = await this.object('knownPages', manifest, (stored) => {
      const plain = openSealed('knownPages', stored, secrets, knownKey);
      return map === null ? null : parseKnownPages(plain, map.frames.count, knownKey);
    });
    if (map === null) {
      this.notChecked.push('Without the page map, of the packs only sizes and digests were checked.');
      for (const pack of manifest.packs) await this.digest(packKey(manifest.desktopId, pack), pack);
      return;
    }
    const { report } = this.findings;
    checkCounts(manifest, map, report);
    const places = findPlaces(map, manifest, mapKey, report);
    const frames = new Frames(manifest, map, places, keys.dataKey.key);
    const wakeCheck = wake === null ? null : new WakeSetCheck(wake, map, wakeKey, report);
    const knownCheck = known === null ? null : new KnownPagesCheck(known, keys.contentKey, knownKey, report);
    wakeCheck?.withoutFrames(keys.contentKey);
    await this.packs(manifest, frames, (frame, content) => {
      knownCheck?.frame(frame, content, (slot) => frames.pagesIn(frame, slot).length > 0);
      for (let slot = 0; slot < slotsPerFrame && wakeCheck !== null; slot++) {
        for (const page of frames.pagesIn(frame, slot)) wakeCheck.page(page, content, slot * pageBytes);
      }
    });
    const layers = known === null ? null : { layers: known.layers, key: knownKey };
    await this.disks({ manifest, map, places }, layers, keys.contentKey);
    this.checked.pages = map.pages;
  }

  /** Their segments, none when there are no such pages; null when they are damaged. */
  private async wakePages(manifest: Manifest, secrets: Parameters<typeof openSegments>[2]): Promise<Buffer[] | null> {
    if (!manifest.wakePages) return [];
    const key = objectKey(manifest, sealedObjects.wakePages.name);
    return this.object('wakePages', manifest, (stored) => openSegments('wakePages', stored, secrets, key));
  }

  /** Fetches, checks and takes apart one of the encrypted objects; null when it is no good. */
  private async object<T>(kind: SealedObject, manifest: Manifest, parse: (stored: Buffer) => T): Promise<T | null> {
    const key = objectKey(manifest, sealedObjects[kind].name);
    const reference = manifest[kind]!;
    const parsed = await this.findings.attempt(async () => {
      const stored = await fetchObject(this.store, key, reference);
      checkDigest(stored, reference, key);
      return parse(stored);
    });
    this.count(reference.bytes);
    return parsed;
  }

  private async packs(
    manifest: Manifest,
    frames: Frames,
    visit: (frame: number, content: Buffer) => void,
  ): Promise<void> {
    for (const [n, pack] of manifest.packs.entries()) {
      const key = packKey(manifest.desktopId, pack);
      await this.findings.attempt(() =>
        digestObject(this.store, key, pack, (window) => {
          for (const frame of frames.beginningIn(n, window)) this.frame(frame, window, frames, visit);
        }),
      );
      this.count(pack.bytes);
      this.options.onProgress?.({ step: 'packs', done: n + 1, total: manifest.packs.length });
    }
  }

  private frame(frame: number, window: Window, frames: Frames, visit: (frame: number, content: Buffer) => void): void {
    this.checked.frames++;
    let content: Buffer;
    try {
      content = frames.open(frame, window);
    } catch (error) {
      if (!isDormouseError(error)) throw error;
      const { object, offset } = error.details as { object: string; offset: number };
      const [first] = frames.pagesOf(frame);
      const cost =
        first === undefined ? 'no page needs it' : `${frames.pagesOf(frame).length} pages are in it, such as ${first}`;
      const what = error.message.slice(`${object}: `.length);
      this.findings.report(
        corrupt(object, `${what}; ${cost}`, { offset, ...(first === undefined ? {} : { page: first }) }),
      );
      return;
    }
    visit(frame, content);
  }

  /** Every block that a page or a layer entry points to. */
  private async disks(
    { manifest, map, places }: { manifest: Manifest; map: PageMap; places: Places },
    known: { readonly layers: LayerEntries; readonly key: string } | null,
    contentKey: Buffer,
  ): Promise<void> {
    const { report } = this.findings;
    const { diskSources } = manifest;
    const { diskPages, source, target } = map;
    const layers = known?.layers ?? noLayers;
    const layerCheck = layerEntriesCheck(layers, diskSources, { contentKey, key: known?.key ?? '', report });
    const pages = diskPages.length;
    if (this.options.diskFiles === null) {
      if (pages > 0) this.notChecked.push(`${pages} pages on disk were not looked at: the disk files are not here.`);
      return;
    }
    // Pages first, layer entries behind them: so that each block is read once.
    const users = {
      count: pages + layers.count,
      isGood: (n: number) => (n < pages ? places.pages[diskPages[n]!] === 1 : layerCheck.isGood(n - pages)),
      source: (n: number) => (n < pages ? source[diskPages[n]!]! : layers.source[n - pages]!),
      block: (n: number) => (n < pages ? target[diskPages[n]!]! : layers.block[n - pages]!),
    };
    let done = 0;
    await forEachBlock(this.options.diskFiles, diskSources, users, report, (n, content, offset) => {
      this.checked.diskBlocks++;
      if (++done % progressEvery === 0) this.options.onProgress?.({ step: 'disk blocks', done, total: users.count });
      if (n >= pages) layerCheck.check(n - pages, content, offset);
      else if (!hasPageTag(map, n, contentKey, content, offset)) {
        report(changedBlock(diskSources[users.source(n)]!.name, users.block(n), diskPages[n]!));
      }
    });
  }

  private count(bytes: number): void {
    this.checked.objects++;
    this.checked.bytes += bytes;
  }
}

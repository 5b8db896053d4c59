import { encode } from '@dormouse/migration-stream';
import type { BlobStore } from '@dormouse/storage';
import { changedBlock, forEachBlock, type DiskFiles } from '../content/disk-blocks';
import { Frames } from '../content/frames';
import { checkDigest, fetchManifest, fetchObject, windowsOf, type Window } from '../content/objects';
import { hasPageTag } from '../content/page-tags';
import { findPlaces } from '../content/places';
import {
  kinds,
  objectKey,
  packKey,
  pageBytes,
  sealedObjects,
  slotsPerFrame,
  type CheckpointKeys,
  type CheckpointName,
} from '../format';
import type { Manifest } from '../parse/manifest';
import { parsePageMap, type PageMap } from '../parse/page-map';
import { openSealed, openSegments } from '../parse/sealing';
import { parseWakePack } from '../parse/wake-pack';
import { throwProblem } from '../report';
import { PageWriter, type WriteChunk } from './page-writer';

export interface ExportOptions extends CheckpointName {
  readonly store: BlobStore;
  readonly keys: CheckpointKeys;
  readonly diskFiles: DiskFiles;
  readonly onProgress?: (progress: ExportProgress) => void;
}

export interface ExportProgress {
  readonly done: number;
  readonly total: number;
}

export interface Exported {
  readonly bytes: number;
  readonly pages: number;
  readonly diskGeneration: string | null;
}

/**
 * Writes a checkpoint as the stream that QEMU itself would have written when it migrates (precopy): header and configuration,
 * the memory with every page, the devices. A QEMU built like the machine of the fingerprint, on a disk as of the
 * checkpoint's disk generation, loads it with `-incoming`.
 * Every page is checked before it is written. What was written when this throws is no whole stream: the devices and the
 * end come last.
 * @throws what reading a checkpoint throws, naming the object or the disk source; what `write` throws
 */
export async function exportStream(options: ExportOptions, write: WriteChunk): Promise<Exported> {
  const { store, keys, diskFiles, onProgress } = options;
  const { manifest, checkSeal } = await fetchManifest(store, options);
  checkSeal(keys);
  const mapKey = objectKey(manifest, sealedObjects.pageMap.name);
  const map = parsePageMap(await openPageMap(options, manifest), manifest, mapKey);
  const places = findPlaces(map, manifest, mapKey, throwProblem);
  const wakeKey = objectKey(manifest, sealedObjects.wakePack.name);
  const wake = parseWakePack(await openWakeSet(options, manifest), map.pages, wakeKey);

  const pages = new PageWriter(manifest.blocks, write, (done) => onProgress?.({ done, total: map.pages }));
  await pages.write(encode.preamble(wake.configuration));
  await pages.write(encode.ramStart(manifest.blocks));
  for (let page = 0; page < map.pages; page++) if (map.kind[page] === kinds.zero) await pages.zero(page);
  await writeFrames(store, manifest, new Frames(manifest, map, places, keys.dataKey.key), pages);
  await writeDiskPages(diskFiles, manifest, map, keys.contentKey, pages);
  await pages.flush();
  await pages.write(encode.ramEnd());
  await pages.write(wake.deviceState);
  await pages.write(encode.endOfStream());
  return { bytes: pages.bytes, pages: pages.count, diskGeneration: manifest.diskGeneration };
}

/** The segments of the wake pack, and behind them those of the wake pages. */
async function openWakeSet({ store, keys }: ExportOptions, manifest: Manifest): Promise<Buffer[]> {
  const segments: Buffer[] = [];
  for (const kind of ['wakePack', 'wakePages'] as const) {
    const reference = manifest[kind];
    if (!reference) continue;
    const key = objectKey(manifest, sealedObjects[kind].name);
    const stored = await fetchObject(store, key, reference);
    checkDigest(stored, reference, key);
    const secrets = { dataKey: keys.dataKey.key, checkpointId: manifest.checkpointId };
    segments.push(...openSegments(kind, stored, secrets, key));
  }
  return segments;
}

async function openPageMap({ store, keys }: ExportOptions, manifest: Manifest): Promise<Buffer> {
  const key = objectKey(manifest, sealedObjects.pageMap.name);
  const stored = await fetchObject(store, key, manifest.pageMap);
  checkDigest(stored, manifest.pageMap, key);
  return openSealed('pageMap', stored, { dataKey: keys.dataKey.key, checkpointId: manifest.checkpointId }, key);
}

/** Pack by pack rather than page by page: nothing is read twice, and little is in memory at a time. */
async function writeFrames(store: BlobStore, manifest: Manifest, frames: Frames, pages: PageWriter): Promise<void> {
  for (const [n, pack] of manifest.packs.entries()) {
    const needed = (window: Pick<Window, 'offset' | 'next'>): readonly number[] =>
      frames.beginningIn(n, window).filter((frame) => frames.pagesOf(frame).length > 0);
    const isNeeded = (offset: number, next: number): boolean => needed({ offset, next }).length > 0;
    for await (const window of windowsOf(store, packKey(manifest.desktopId, pack), pack, isNeeded)) {
      for (const frame of needed(window)) {
        const content = frames.open(frame, window);
        for (let slot = 0; slot < slotsPerFrame; slot++) {
          for (const page of frames.pagesIn(frame, slot)) await pages.page(page, content, slot * pageBytes);
        }
      }
    }
  }
}

async function writeDiskPages(
  files: DiskFiles,
  manifest: Manifest,
  map: PageMap,
  contentKey: Buffer,
  pages: PageWriter,
): Promise<void> {
  const { diskPages, source, target } = map;
  const users = {
    count: diskPages.length,
    isGood: () => true,
    source: (n: number) => source[diskPages[n]!]!,
    block: (n: number) => target[diskPages[n]!]!,
  };
  await forEachBlock(files, manifest.diskSources, users, throwProblem, async (n, content, offset) => {
    if (!hasPageTag(map, n, contentKey, content, offset)) {
      throw changedBlock(manifest.diskSources[users.source(n)]!.name, users.block(n), diskPages[n]!);
    }
    await pages.page(diskPages[n]!, content, offset);
  });
}

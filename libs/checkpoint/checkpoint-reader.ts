import { DormouseError, isDormouseError } from '@dormouse/errors';
import type { BlobRange, BlobStore } from '@dormouse/storage';
import { corrupt } from './corruption';
import { noDisks, type DiskBlocks } from './disk-catalog';
import { CheckpointSecrets, type DataKey } from './encryption';
import { FrameRun } from './frame-run';
import type { FrameTable } from './frame-table';
import { pageBytes } from './layout';
import { decodeManifest, sha256, type Manifest, type ObjectReference } from './manifest';
import { objectKeys, type CheckpointKeys } from './object-keys';
import { hashPage } from './page-hash';
import { PageMap } from './page-map';
import { decodeWakePack, type WakePack } from './wake-pack';

export interface CheckpointIdentity {
  readonly desktopId: string;
  readonly checkpointId: string;
}

/** What it takes to read pages that are stored, and pages that stand on disk. */
export interface ReadingKeys {
  readonly dataKey: DataKey;
  readonly contentKey: Buffer;
}

/** Reads one finished checkpoint. Everything is checked before it is handed out. */
export class CheckpointReader {
  private readonly packSecrets: { number: number; key: Buffer; object: string }[];

  private constructor(
    private readonly store: BlobStore,
    readonly manifest: Manifest,
    readonly wakePack: WakePack,
    readonly map: PageMap,
    readonly frames: FrameTable,
    private readonly keys: ReadingKeys,
    private readonly disks: DiskBlocks,
  ) {
    const secrets = new Map<string, CheckpointSecrets>();
    this.packSecrets = manifest.packs.map(({ checkpointId, number }) => {
      const known = secrets.get(checkpointId) ?? new CheckpointSecrets(keys.dataKey, checkpointId);
      secrets.set(checkpointId, known);
      return { number, key: known.pack, object: objectKeys(manifest.desktopId, checkpointId).pack(number) };
    });
  }

  /**
   * Reads manifest, wake pack and page map, and looks that every pack is there in its full size.
   * @throws CHECKPOINT_UNKNOWN, CHECKPOINT_CORRUPT, CHECKPOINT_INCOMPLETE, CHECKPOINT_KEY_MISMATCH, FORMAT_UNSUPPORTED
   * naming the object
   */
  static async open(
    store: BlobStore,
    identity: CheckpointIdentity,
    keys: ReadingKeys,
    disks: DiskBlocks = noDisks,
  ): Promise<CheckpointReader> {
    const { manifest, map, frames, keys: objects, secrets } = await readCheckpoint(store, identity, keys.dataKey);
    const stored = await readObject(store, objects.wakePack, manifest.wakePack);
    const plaintext = secrets.decryptObject('wakePack', stored, objects.wakePack);
    const wakePack = await decodeWakePack(plaintext, map.pages, objects.wakePack);
    return new CheckpointReader(store, manifest, wakePack, map, frames, keys, disks);
  }

  /**
   * Frames `first` … `first + count - 1`, in one read; they must lie in one pack, one after the other (`runLength`).
   * @throws CHECKPOINT_INCOMPLETE, or STORAGE_FAILED when the store does not answer
   */
  async readRun(first: number, count: number): Promise<FrameRun> {
    const start = this.frames.get(first);
    const last = this.frames.get(first + count - 1);
    const pack = this.packSecrets[start.pack]!;
    const length = last.offset + last.length - start.offset;
    const { bytes } = this.manifest.packs[start.pack]!;
    const stored = await readRange(this.store, pack.object, bytes, { offset: start.offset, length });
    return new FrameRun(this.frames, pack, first, count, stored);
  }

  /** How many frames from `first` on, `most` at most, `readRun` can take at once. */
  runLength(first: number, most: number): number {
    const { pack, offset, length } = this.frames.get(first);
    let end = offset + length;
    let count = 1;
    while (count < most && first + count < this.frames.length) {
      const next = this.frames.get(first + count);
      if (next.pack !== pack || next.offset !== end) break;
      end += next.length;
      count++;
    }
    return count;
  }

  /** Blocks of a disk source, unchecked: `checkDiskPage` checks each. @throws DISK_SOURCE_MISSING */
  readBlocks(source: number, block: number, count: number): Promise<Buffer> {
    return this.disks.read(this.manifest.diskSources[source]!.name, block, count);
  }

  /**
   * A page of kind `disk`, found `at` bytes into blocks that were read.
   * @throws DISK_SOURCE_MISSING when they end before it, DISK_SOURCE_CHANGED when it is not the content the guest had
   */
  checkDiskPage(page: number, blocks: Buffer, at: number): void {
    const content = blocks.subarray(at, at + pageBytes);
    const source = this.manifest.diskSources[this.map.sourceOf(page)]!.name;
    const block = this.map.blockOf(page);
    if (content.length < pageBytes) {
      throw new DormouseError(
        'DISK_SOURCE_MISSING',
        `disk source ${source} ends before block ${block}, where page ${page} stood; restore the file from before it was cut`,
        { source, block, page },
      );
    }
    if (this.map.hasTag(page, hashPage(this.keys.contentKey, content), 0)) return;
    throw new DormouseError(
      'DISK_SOURCE_CHANGED',
      `block ${block} of disk source ${source} no longer holds what page ${page} had; restore the file from before it was changed`,
      { source, block, page },
    );
  }
}

/** Manifest, page map and frame table; looks that every pack is there. */
export async function readCheckpoint(
  store: BlobStore,
  identity: CheckpointIdentity,
  dataKey: DataKey,
): Promise<{ manifest: Manifest; keys: CheckpointKeys; secrets: CheckpointSecrets; map: PageMap; frames: FrameTable }> {
  const secrets = new CheckpointSecrets(dataKey, identity.checkpointId);
  const keys = objectKeys(identity.desktopId, identity.checkpointId);
  const manifest = await readManifest(store, identity, secrets);
  const [stored] = await Promise.all([
    readObject(store, keys.pageMap, manifest.pageMap),
    ...manifest.packs.map(({ checkpointId, number, bytes }) =>
      checkSize(store, objectKeys(identity.desktopId, checkpointId).pack(number), bytes),
    ),
  ]);
  const plaintext = secrets.decryptObject('pageMap', stored, keys.pageMap);
  const { blocks, diskSources } = manifest;
  const about = { blocks, diskSources, packSizes: manifest.packs.map((pack) => pack.bytes) };
  return { manifest, keys, secrets, ...(await PageMap.decode(plaintext, about, keys.pageMap)) };
}

/**
 * @param secrets null for whoever only wants to know what the checkpoint consists of
 * @throws CHECKPOINT_UNKNOWN when there is none, CHECKPOINT_CORRUPT when it is another one's, CHECKPOINT_KEY_MISMATCH
 */
export async function readManifest(
  store: BlobStore,
  { desktopId, checkpointId }: CheckpointIdentity,
  secrets: CheckpointSecrets | null,
): Promise<Manifest> {
  const key = objectKeys(desktopId, checkpointId).manifest;
  let encoded: Buffer;
  try {
    encoded = await store.read(key);
  } catch (cause) {
    if (!isDormouseError(cause, 'STORAGE_OBJECT_MISSING')) throw cause;
    throw new DormouseError(
      'CHECKPOINT_UNKNOWN',
      `there is no checkpoint ${checkpointId} of ${desktopId}`,
      { object: key },
      { cause },
    );
  }
  const manifest = decodeManifest(encoded, secrets, key);
  if (manifest.desktopId !== desktopId || manifest.checkpointId !== checkpointId) {
    throw corrupt(key, `it is the manifest of checkpoint ${manifest.checkpointId} of ${manifest.desktopId}`);
  }
  return manifest;
}

/** @throws CHECKPOINT_INCOMPLETE, CHECKPOINT_CORRUPT naming the object */
export async function readObject(
  store: BlobStore,
  key: string,
  { bytes, sha256: digest }: ObjectReference,
): Promise<Buffer> {
  const content = await present(store.read(key), key);
  if (content.length !== bytes || sha256(content) !== digest) {
    throw corrupt(key, 'its digest does not match the manifest');
  }
  return content;
}

/** A range that cannot be read may be a store that comes back, worth trying again, or a pack that was cut, which is not. */
async function readRange(store: BlobStore, pack: string, bytes: number, range: BlobRange): Promise<Buffer> {
  try {
    return await present(store.read(pack, range), pack);
  } catch (error) {
    if (isDormouseError(error, 'STORAGE_FAILED')) await checkSize(store, pack, bytes);
    throw error;
  }
}

async function checkSize(store: BlobStore, pack: string, expected: number): Promise<void> {
  const { bytes } = await present(store.stat(pack), pack);
  if (bytes !== expected) throw corrupt(pack, `it has ${bytes} bytes instead of ${expected}`);
}

async function present<T>(read: Promise<T>, object: string): Promise<T> {
  try {
    return await read;
  } catch (cause) {
    if (!isDormouseError(cause, 'STORAGE_OBJECT_MISSING')) throw cause;
    throw new DormouseError('CHECKPOINT_INCOMPLETE', `${object} is missing`, { object }, { cause });
  }
}

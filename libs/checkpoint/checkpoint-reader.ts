import { DormouseError, isDormouseError } from '@dormouse/errors';
import type { BlobRange, BlobStore } from '@dormouse/storage';
import { corrupt } from './corruption';
import { FrameRun } from './frame-run';
import type { FrameTable } from './frame-table';
import { decodeManifest, sha256, type Manifest, type ObjectReference, type PackReference } from './manifest';
import { objectKeys } from './object-keys';
import { PageMap } from './page-map';
import { decodeWakePack, type WakePack } from './wake-pack';

/** Reads one finished checkpoint. Everything is checked before it is handed out. */
export class CheckpointReader {
  private constructor(
    private readonly store: BlobStore,
    readonly manifest: Manifest,
    readonly wakePack: WakePack,
    readonly map: PageMap,
    readonly frames: FrameTable,
  ) {}

  /**
   * Reads manifest, wake pack and page map, and looks that every pack is there in its full size.
   * @throws CHECKPOINT_UNKNOWN, CHECKPOINT_CORRUPT, CHECKPOINT_INCOMPLETE, FORMAT_UNSUPPORTED naming the object
   */
  static async open(store: BlobStore, desktopId: string, checkpointId: string): Promise<CheckpointReader> {
    const manifest = await readManifest(store, desktopId, checkpointId);
    const [wakePack, pageMap] = await Promise.all([
      readObject(store, manifest.wakePack),
      readObject(store, manifest.pageMap),
      ...manifest.packs.map((pack) => checkSize(store, pack)),
    ]);
    const packSizes = manifest.packs.map((pack) => pack.bytes);
    const { map, frames } = await PageMap.decode(pageMap, manifest.blocks, packSizes, manifest.pageMap.key);
    return new CheckpointReader(store, manifest, decodeWakePack(wakePack, manifest.wakePack.key), map, frames);
  }

  /**
   * Frames `first` … `first + count - 1`, in one read; they must lie in one pack, one after the other (`runLength`).
   * @throws CHECKPOINT_INCOMPLETE, or STORAGE_FAILED when the store does not answer
   */
  async readRun(first: number, count: number): Promise<FrameRun> {
    const start = this.frames.get(first);
    const last = this.frames.get(first + count - 1);
    const pack = this.manifest.packs[start.pack]!;
    const length = last.offset + last.length - start.offset;
    const stored = await readRange(this.store, pack, { offset: start.offset, length });
    return new FrameRun(this.frames, pack.key, first, count, stored);
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
}

/** @throws CHECKPOINT_UNKNOWN when there is none, CHECKPOINT_CORRUPT when it is another one's */
export async function readManifest(store: BlobStore, desktopId: string, checkpointId: string): Promise<Manifest> {
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
  const manifest = decodeManifest(encoded, key);
  if (manifest.desktopId !== desktopId || manifest.checkpointId !== checkpointId) {
    throw corrupt(key, `it is the manifest of checkpoint ${manifest.checkpointId} of ${manifest.desktopId}`);
  }
  return manifest;
}

async function readObject(store: BlobStore, reference: ObjectReference): Promise<Buffer> {
  const content = await present(store.read(reference.key), reference.key);
  if (content.length !== reference.bytes || sha256(content) !== reference.sha256) {
    throw corrupt(reference.key, 'its digest does not match the manifest');
  }
  return content;
}

/** A range that cannot be read may be a store that comes back, worth trying again, or a pack that was cut, which is not. */
async function readRange(store: BlobStore, pack: PackReference, { offset, length }: BlobRange): Promise<Buffer> {
  try {
    return await present(store.read(pack.key, { offset, length }), pack.key);
  } catch (error) {
    if (isDormouseError(error, 'STORAGE_FAILED')) await checkSize(store, pack);
    throw error;
  }
}

async function checkSize(store: BlobStore, pack: PackReference): Promise<void> {
  const { bytes } = await present(store.stat(pack.key), pack.key);
  if (bytes !== pack.bytes) throw corrupt(pack.key, `it has ${bytes} bytes instead of ${pack.bytes}`);
}

async function present<T>(read: Promise<T>, object: string): Promise<T> {
  try {
    return await read;
  } catch (cause) {
    if (!isDormouseError(cause, 'STORAGE_OBJECT_MISSING')) throw cause;
    throw new DormouseError('CHECKPOINT_INCOMPLETE', `${object} is missing`, { object }, { cause });
  }
}

import { setImmediate as immediate } from 'node:timers/promises';
import type { BlobStore } from '@dormouse/storage';
import { CheckpointReader } from './checkpoint-reader';
import { noDisks, type DiskBlocks } from './disk-catalog';
import { CheckpointSecrets, type DataKey, type ReadingKeys } from './encryption';
import type { FrameTable } from './frame-table';
import { mostStoredBytes } from './layout';
import type { Manifest } from './manifest-shape';
import { desktopPrefix, objectKeys, type CheckpointKeys } from './object-keys';
import { countPages, PageMap } from './page-map';
import type { CheckpointIdentity } from './object-keys';
import { checkFound, readManifest, readObject } from './read-objects';
import { WakePackReader } from './wake-pack-reader';
import { readWakeSetStarts } from './wake-set-starts';

/** A finished checkpoint of which the manifest was read. All else is read when it is asked for, and checked by then. */
export class StoredCheckpoint {
  private constructor(
    private readonly store: BlobStore,
    readonly manifest: Manifest,
    readonly secrets: CheckpointSecrets,
    readonly keys: CheckpointKeys,
  ) {}

  /** @throws CHECKPOINT_UNKNOWN, CHECKPOINT_CORRUPT, CHECKPOINT_KEY_MISMATCH, FORMAT_UNSUPPORTED naming the object */
  static async find(store: BlobStore, identity: CheckpointIdentity, dataKey: DataKey): Promise<StoredCheckpoint> {
    const secrets = new CheckpointSecrets(dataKey, identity.checkpointId);
    const manifest = await readManifest(store, identity, secrets);
    return new StoredCheckpoint(store, manifest, secrets, objectKeys(identity.desktopId, identity.checkpointId));
  }

  /** @param starts where it was begun to read them before */
  wakePack(starts = readWakeSetStarts(this.store, this.manifest)): WakePackReader {
    const { store, keys, manifest, secrets } = this;
    return new WakePackReader({ store, keys, secrets, starts, ...manifest }, countPages(manifest.blocks));
  }

  /** @throws CHECKPOINT_CORRUPT, CHECKPOINT_INCOMPLETE, FORMAT_UNSUPPORTED naming the object */
  async pageMap(): Promise<{ map: PageMap; frames: FrameTable }> {
    const { store, keys, secrets } = this;
    const { pageMap, blocks, diskSources, packs } = this.manifest;
    const encoded = await readObject(store, keys.pageMap, pageMap, mostStoredBytes.pageMap);
    const plaintext = secrets.decryptObject('pageMap', encoded, keys.pageMap);
    return PageMap.decode(plaintext, { blocks, diskSources, packSizes: packs.map(({ bytes }) => bytes) }, keys.pageMap);
  }

  /**
   * Looks that what is read piece by piece is there in its full size: the packs and the wake pack. They are listed with what else
   * the desktop has, which is one request where each of them would take one.
   * @throws CHECKPOINT_CORRUPT, CHECKPOINT_INCOMPLETE naming the object
   */
  async checkSizes(): Promise<void> {
    const { desktopId, packs, wakePack, wakePages } = this.manifest;
    const sizes = new Map<string, number>();
    for await (const { key, bytes } of this.store.list(desktopPrefix(desktopId))) sizes.set(key, bytes);
    for (const { checkpointId, number, bytes } of packs) {
      checkFound(objectKeys(desktopId, checkpointId).pack(number), sizes, bytes);
    }
    checkFound(this.keys.wakePack, sizes, wakePack.bytes);
    if (wakePages) checkFound(this.keys.wakePages, sizes, wakePages.bytes);
  }

  /**
   * The page map, for reading pages by. Its frames are numbered in the order in which they are stored: those of an earlier checkpoint
   * are mixed with this one's in the order of the memory, and who reads one after the other wants them as they lie.
   * @throws as `pageMap`
   */
  async pages({ contentKey }: Pick<ReadingKeys, 'contentKey'>, disks: DiskBlocks = noDisks): Promise<CheckpointReader> {
    const { map, frames } = await this.pageMap();
    await immediate();
    const { table, numberOf } = frames.inStorageOrder();
    map.renumberFrames(numberOf);
    const keys = { dataKey: this.secrets.dataKey, contentKey };
    return new CheckpointReader(this.store, this.manifest, map, table, keys, disks);
  }
}

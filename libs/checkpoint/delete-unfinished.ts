import type { BlobStore } from '@dormouse/storage';
import { objectKeys } from './object-keys';

/**
 * Removes the objects of a checkpoint that was given up: nobody else names them. Manifest first: it may stand though its
 * commit is said to have failed, and whoever is killed half way must not leave it without what it names.
 */
export async function deleteUnfinished(store: BlobStore, desktopId: string, checkpointId: string): Promise<void> {
  const { manifest, prefix } = objectKeys(desktopId, checkpointId);
  await store.delete(manifest);
  for await (const object of store.list(prefix)) await store.delete(object.key);
}

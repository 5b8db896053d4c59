import type { BlobStore } from '@dormouse/storage';
import { objectKeys } from './object-keys';

/**
 * Removes a checkpoint's objects, finished or not. The manifest goes first: killed half way, what is left is not a
 * checkpoint any more, and a later call removes the rest.
 */
export async function deleteCheckpoint(store: BlobStore, desktopId: string, checkpointId: string): Promise<void> {
  const keys = objectKeys(desktopId, checkpointId);
  await store.delete(keys.manifest);
  for await (const object of store.list(keys.prefix)) await store.delete(object.key);
}

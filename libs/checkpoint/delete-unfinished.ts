import type { BlobStore } from '@dormouse/storage';
import { objectKeys } from './object-keys';

/** Removes the objects of a checkpoint that was never committed: nobody else names them. */
export async function deleteUnfinished(store: BlobStore, desktopId: string, checkpointId: string): Promise<void> {
  for await (const object of store.list(objectKeys(desktopId, checkpointId).prefix)) await store.delete(object.key);
}

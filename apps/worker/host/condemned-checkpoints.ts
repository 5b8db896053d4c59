import { deleteCheckpoint } from '@dormouse/checkpoint';
import type { WorkerContext } from '../worker-context';

/** Removes from the store what the ledger has condemned: overtaken checkpoints, and what failed saves left behind. */
export async function removeCondemned({ ledger, store }: WorkerContext, desktopId: string): Promise<void> {
  for (const checkpoint of await ledger.condemnedCheckpoints(desktopId)) {
    await deleteCheckpoint(store, desktopId, checkpoint.id);
    await ledger.markCheckpointDeleted(checkpoint.id);
  }
}

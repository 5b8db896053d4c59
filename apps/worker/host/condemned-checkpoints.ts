import { sweepDesktop } from '@dormouse/checkpoint';
import type { WorkerContext } from '../worker-context';

/**
 * Removes from the store what the ledger has condemned: overtaken checkpoints, and what failed saves left behind. Packs
 * that a kept checkpoint still uses stay.
 */
export async function removeCondemned({ ledger, store }: WorkerContext, desktopId: string): Promise<void> {
  const condemned = await ledger.condemnedCheckpoints(desktopId);
  if (condemned.length === 0) return;
  await sweepDesktop(store, desktopId, () => ledger.wantedCheckpoints(desktopId));
  for (const checkpoint of condemned) await ledger.markCheckpointDeleted(checkpoint.id);
}

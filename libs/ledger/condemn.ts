import { CheckpointEntity } from '@dormouse/persistence';
import { In, type FindOptionsWhere } from 'typeorm';
import type { LedgerTransaction } from './ledger-transaction';

/** An operation has ended: what it was still writing will never be finished. */
export function condemnUnfinished(transaction: LedgerTransaction, desktopId: string): Promise<void> {
  return condemn(transaction, { desktopId, state: 'writing' });
}

/** The desktop is deleted: nobody will wake from these again, pinned or not. */
export function condemnAll(transaction: LedgerTransaction, desktopId: string): Promise<void> {
  return condemn(transaction, { desktopId, state: In(['writing', 'durable']) });
}

/**
 * Every way out begins here: whoever removes the objects counts from `condemnedAt`.
 * @param which names states, too: what is condemned already keeps its time
 */
export async function condemn(
  { manager, now }: LedgerTransaction,
  which: FindOptionsWhere<CheckpointEntity> & { state: unknown },
): Promise<void> {
  await manager.update(CheckpointEntity, which, { state: 'condemned', condemnedAt: now });
}

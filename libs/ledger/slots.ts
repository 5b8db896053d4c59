import { DormouseError } from '@dormouse/errors';
import type { OperationEntity } from '@dormouse/persistence';
import { slotOf, type SlotKind } from '@dormouse/session';
import type { EntityManager } from 'typeorm';
import { takeTurns } from './take-turns';
import type { LedgerTransaction, Transactions } from './transactions';
import type { HostLoad } from './views';

/** How many of each kind may be under way at once, as a host announces it; what it does not say is not limited. */
interface Announced {
  readonly storage: string | null;
  readonly slots: Partial<Record<SlotKind, number>> | null;
  readonly storage_slots: Partial<Record<SlotKind, number>> | null;
}

/**
 * A slot is taken by being active: what a worker has claimed, and whose lease it has not let run out, holds one. So none is ever lost
 * with a worker, and none has to be given back. To be called when the claim is written, right before the commit: those
 * who claim the same kind at the same host, and then at the same storage if that limits it, count one after the other.
 * @throws HOST_BUSY when the host, or the storage, has as much under way as it may
 */
export async function assertSlot({ manager, now }: LedgerTransaction, operation: OperationEntity): Promise<void> {
  const slot = slotOf(operation);
  if (slot === null || operation.hostId === null) return;
  const host = await announcedBy(manager, operation.hostId);
  const storage = host?.storage ?? null;
  const most = { host: host?.slots?.[slot] ?? Infinity, storage: host?.storage_slots?.[slot] ?? Infinity };
  const sharesStorage = storage !== null && most.storage !== Infinity;
  if (most.host === Infinity && !sharesStorage) return;
  await takeTurns({ manager }, `${slot}s of the host ${operation.hostId}`);
  if (sharesStorage) await takeTurns({ manager }, `${slot}s of the storage ${storage}`);
  const rows: { kind: OperationEntity['kind']; phase: OperationEntity['phase']; here: boolean }[] = await manager.query(
    `SELECT kind, phase, operations.host_id = $1 AS here FROM operations JOIN hosts ON hosts.id = operations.host_id
     WHERE status = 'active' AND lease_expires_at > $2 AND operations.id <> $3
       AND (operations.host_id = $1 OR hosts.capabilities ->> 'storage' = $4)`,
    [operation.hostId, now, operation.id, storage],
  );
  const taken = rows.filter((other) => slotOf(other) === slot);
  const here = taken.filter((other) => other.here).length;
  if (here >= most.host) throw busy(`the host ${operation.hostId} has ${here} of ${most.host} ${slot}s under way`);
  if (sharesStorage && taken.length >= most.storage) {
    throw busy(`the storage has ${taken.length} of ${most.storage} ${slot}s under way`);
  }
}

/** What is open on a host, and how many of its slots that takes. */
export function loadOf(transactions: Transactions, hostId: string): Promise<HostLoad> {
  return transactions.run(async ({ manager, now }) => {
    const host = await announcedBy(manager, hostId);
    const rows: (Pick<OperationEntity, 'kind' | 'phase' | 'status'> & { held: boolean; count: number })[] =
      await manager.query(
        `SELECT kind, phase, status, status = 'active' AND lease_expires_at > $2 AS held, count(*)::int AS count
         FROM operations WHERE host_id = $1 AND status IN ('pending', 'active') GROUP BY 1, 2, 3, 4`,
        [hostId, now],
      );
    const usedOf = (slot: SlotKind): number =>
      rows.reduce((sum, row) => sum + (row.held && slotOf(row) === slot ? row.count : 0), 0);
    return {
      operations: rows.map(({ kind, phase, status, count }) => ({ kind, phase, status, count })),
      slots: (['wake', 'save'] as const).map((slot) => ({
        slot,
        used: usedOf(slot),
        most: host?.slots?.[slot] ?? null,
      })),
    };
  });
}

async function announcedBy(manager: EntityManager, hostId: string): Promise<Announced | undefined> {
  const [host]: Announced[] = await manager.query(
    `SELECT capabilities ->> 'storage' AS storage, capabilities -> 'slots' AS slots,
       capabilities -> 'storageSlots' AS storage_slots FROM hosts WHERE id = $1`,
    [hostId],
  );
  return host;
}

function busy(message: string): DormouseError {
  return new DormouseError('HOST_BUSY', message);
}

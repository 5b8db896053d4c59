import { DormouseError } from '@dormouse/errors';
import type { OperationEntity } from '@dormouse/persistence';
import { slotOf, type SlotKind } from '@dormouse/session';
import type { EntityManager } from 'typeorm';
import type { HostLoad } from '@dormouse/views';
import type { LedgerTransaction } from './ledger-transaction';
import type { Transactions } from './transactions';

/** How many of each kind may be under way at once, as a host announces it; what it does not say is not limited. */
interface Announced {
  readonly storage: string | null;
  readonly slots: Partial<Record<SlotKind, number>> | null;
  readonly storage_slots: Partial<Record<SlotKind, number>> | null;
}

/** The slots of one kind that a host, or a storage, has: numbers from 1 to `most`. */
interface Slots {
  readonly of: string;
  readonly most: number;
  /** Those that a worker has. */
  readonly taken: ReadonlySet<number | null>;
}

type SlotNumbers = Pick<OperationEntity, 'hostSlot' | 'storageSlot'>;
type Holder = Pick<OperationEntity, 'kind' | 'phase'> & SlotNumbers & { here: boolean };

const noSlots: SlotNumbers = { hostSlot: null, storageSlot: null };

/**
 * Finds a slot of the host, and one of the storage if that is shared, for an operation that is being claimed. A slot is taken by
 * being active: it is what a worker has claimed, and whose lease it has not let run out. So none is ever lost with a worker, and
 * none has to be given back.
 *
 * Nobody waits for whoever claims at the same time: a number is locked until the claim is committed, and one that is locked is
 * passed over. Whether it was free is looked at once more behind the lock: its last holder may just have been seen to.
 * @returns what is to be written with the claim
 * @throws HOST_BUSY when the host, or the storage, has as much under way as it may
 */
export async function findSlots({ manager, now }: LedgerTransaction, operation: OperationEntity): Promise<SlotNumbers> {
  const kind = slotOf(operation);
  const { hostId } = operation;
  if (kind === null || hostId === null) return noSlots;
  const host = await announcedBy(manager, hostId);
  const storage = host?.storage ?? null;
  const most = { host: host?.slots?.[kind] ?? Infinity, storage: host?.storage_slots?.[kind] ?? Infinity };
  const isShared = storage !== null && most.storage !== Infinity;
  if (most.host === Infinity && !isShared) return noSlots;

  const look = async (): Promise<{ host: Slots; storage: Slots }> => {
    const others: Holder[] = await manager.query(
      `SELECT kind, phase, host_slot AS "hostSlot", storage_slot AS "storageSlot", operations.host_id = $1 AS here
       FROM operations JOIN hosts ON hosts.id = operations.host_id
       WHERE status = 'active' AND lease_expires_at > $2 AND operations.id <> $3
         AND (operations.host_id = $1 OR hosts.capabilities ->> 'storage' = $4)`,
      [hostId, now, operation.id, isShared ? storage : null],
    );
    const holders = others.filter((other) => slotOf(other) === kind);
    const here = holders.filter((other) => other.here);
    return {
      host: { of: `the host ${hostId}`, most: most.host, taken: new Set(here.map(({ hostSlot }) => hostSlot)) },
      storage: {
        of: 'the storage',
        most: isShared ? most.storage : Infinity,
        taken: new Set(holders.map(({ storageSlot }) => storageSlot)),
      },
    };
  };
  for (let slots = await look(); ;) {
    const found = {
      hostSlot: await lockOne(manager, slots.host, `${kind}s of the host ${hostId}`),
      storageSlot: await lockOne(manager, slots.storage, `${kind}s of the storage ${storage}`),
    };
    for (const [number, { of, most: all }] of [
      [found.hostSlot, slots.host],
      [found.storageSlot, slots.storage],
    ] as const) {
      if (number === null && all !== Infinity) throw busy(`${of} has ${all} of ${all} ${kind}s under way`, kind);
    }
    slots = await look();
    if (isFree(found.hostSlot, slots.host) && isFree(found.storageSlot, slots.storage)) return found;
  }
}

function isFree(number: number | null, { taken }: Slots): boolean {
  return number === null || !taken.has(number);
}

/** A free number that nobody is about to take; null when there is none, or when there is no limit. */
async function lockOne(manager: EntityManager, { most, taken }: Slots, name: string): Promise<number | null> {
  if (most === Infinity) return null;
  const free = Array.from({ length: most }, (_, index) => index + 1).filter((number) => !taken.has(number));
  if (free.length === 0) return null;
  const [locked]: { number: number }[] = await manager.query(
    `SELECT number FROM unnest($2::int[]) AS number WHERE pg_try_advisory_xact_lock(hashtext($1), number) LIMIT 1`,
    [name, free],
  );
  return locked?.number ?? null;
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

function busy(message: string, slot: SlotKind): DormouseError {
  return new DormouseError('HOST_BUSY', message, { slot });
}

import { OperationEntity, PoolEntity } from '@dormouse/persistence';
import { capsHeld, capsNeeded, slotOf, type CapName, type Session } from '@dormouse/session';
import type { EntityManager } from 'typeorm';
import { sessionOf, type LoadedDesktop } from './loaded-desktop';
import { calledJob } from './outbox';
import { withMachine, withoutWaiting } from './placing';
import { updateRow } from './rows';
import { takeTurns } from './take-turns';
import type { LedgerTransaction } from './ledger-transaction';
import type { Transactions } from './transactions';

/** How many operations of one pool are called in one turn of the sweep. */
const mostAtOnce = 500;

const inWords: Readonly<Record<CapName, string>> = {
  running: 'desktops that run',
  waking: 'desktops that wake',
  saving: 'desktops that are saved',
};

/**
 * Whether its pool's caps let a pending operation begin. One that has to wait is marked, and has no job until it is called: a queue
 * that stood still for it would make other pools wait as well. To be asked before anything is written of the claim; those
 * who claim in the same pool count one after the other.
 */
export async function admittedByPool(transaction: LedgerTransaction, loaded: LoadedDesktop): Promise<boolean> {
  const { operation, pool, row } = loaded;
  const { caps } = pool.policy;
  if (operation === null || operation.status !== 'pending') return true;
  if (caps === undefined && operation.waitsForPool === null) return true;
  const { manager } = transaction;
  await takeTurns(transaction, `caps of the pool ${row.poolId}`);
  for (const cap of capsNeeded(operation)) {
    const most = caps?.[cap] ?? Infinity;
    const taken = most === Infinity ? 0 : await takenOf(transaction, row.poolId, cap);
    if (taken < most) continue;
    const waitingFor = `its pool ${row.poolId}, which has ${taken} of ${most} ${inWords[cap]}`;
    const progress = { ...operation.progress, waitingFor };
    await updateRow(manager, OperationEntity, operation, { waitsForPool: cap, progress });
    return false;
  }
  if (operation.waitsForPool !== null) {
    await updateRow(manager, OperationEntity, operation, { waitsForPool: null, progress: withoutWaiting(operation) });
  }
  return true;
}

/** A desktop gives back what it had of its pool's caps: whoever waits for that is called, one for each. */
export async function callNext(transaction: LedgerTransaction, loaded: LoadedDesktop, decided: Session): Promise<void> {
  if (loaded.pool.policy.caps === undefined) return;
  const held = capsHeld(decided);
  const freed = capsHeld(sessionOf(loaded)).filter((cap) => !held.includes(cap));
  for (const cap of freed) await call(transaction, { poolId: loaded.row.poolId, cap, most: 1 });
}

/**
 * Holds true: nothing waits for a pool that has room. Finds what nobody has called: after a cap was raised, or when a worker has
 * died and its lease with it. @returns the desktops that were called
 */
export async function admitWaiting(
  transactions: Transactions,
  poolId: string | null = null,
): Promise<readonly string[]> {
  const waiting = await transactions.run(({ manager }) =>
    manager.query<{ pool_id: string; cap: CapName }[]>(
      `SELECT DISTINCT pool_id, waits_for_pool AS cap FROM operations
       WHERE waits_for_pool IS NOT NULL AND ($1::text IS NULL OR pool_id = $1)`,
      [poolId],
    ),
  );
  const called: string[] = [];
  for (const { pool_id, cap } of waiting) {
    const now = await transactions.run(async (transaction) => {
      const pool = await transaction.manager.findOneByOrFail(PoolEntity, { id: pool_id });
      const most = pool.policy.caps?.[cap] ?? Infinity;
      const free = most === Infinity ? mostAtOnce : most - (await takenOf(transaction, pool_id, cap));
      return free <= 0 ? [] : call(transaction, { poolId: pool_id, cap, most: Math.min(free, mostAtOnce) });
    });
    called.push(...now);
  }
  return called;
}

/** Users first, then what was forced, then who waits longest. The row of another desktop is never waited for. */
async function call(
  transaction: LedgerTransaction,
  { poolId, cap, most }: { poolId: string; cap: CapName; most: number },
): Promise<readonly string[]> {
  const { manager } = transaction;
  const next = await manager
    .createQueryBuilder(OperationEntity, 'o')
    .where({ poolId, waitsForPool: cap, status: 'pending' })
    .orderBy('o.awaited', 'DESC')
    .addOrderBy('o.forced', 'DESC')
    .addOrderBy('o.createdAt', 'ASC')
    .limit(most)
    .setLock('pessimistic_write')
    .setOnLocked('skip_locked')
    .getMany();
  for (const operation of next) {
    await updateRow(manager, OperationEntity, operation, { waitsForPool: null, progress: withoutWaiting(operation) });
    calledJob(transaction, operation);
  }
  return next.map(({ desktopId }) => desktopId);
}

/** As `capsHeld` says it of one desktop; a worker whose lease has run out holds nothing. */
async function takenOf({ manager, now }: LedgerTransaction, poolId: string, cap: CapName): Promise<number> {
  return cap === 'running' ? machinesOf(manager, poolId) : underWay(manager, { poolId, cap, now });
}

async function machinesOf(manager: EntityManager, poolId: string): Promise<number> {
  const [row]: { machines: number }[] = await manager.query(
    `SELECT count(*)::int AS machines FROM desktops WHERE pool_id = $1 AND ${withMachine}
       AND NOT EXISTS (SELECT 1 FROM operations
         WHERE desktop_id = desktops.id AND status = 'pending' AND kind IN ('boot', 'restore'))`,
    [poolId],
  );
  return row!.machines;
}

async function underWay(
  manager: EntityManager,
  { poolId, cap, now }: { poolId: string; cap: CapName; now: Date },
): Promise<number> {
  const rows: Pick<OperationEntity, 'kind' | 'phase'>[] = await manager.query(
    `SELECT kind, phase FROM operations WHERE pool_id = $1 AND status = 'active' AND lease_expires_at > $2`,
    [poolId, now],
  );
  return rows.filter((other) => slotOf(other) !== null && capsNeeded(other).includes(cap)).length;
}

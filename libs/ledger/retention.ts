import { CheckpointEntity } from '@dormouse/persistence';
import { toCondemn, type CheckpointStanding } from '@dormouse/session';
import { In, type EntityManager } from 'typeorm';
import { condemn } from './condemn';
import { lockDesktop, sessionOf, type LoadedDesktop } from './loaded-desktop';
import { selectRows } from './rows';
import type { LedgerTransaction } from './ledger-transaction';
import type { Transactions } from './transactions';

/** Condemns what nothing keeps any more. @returns how many */
export async function applyRetention(transaction: LedgerTransaction, loaded: LoadedDesktop): Promise<number> {
  const { manager, now } = transaction;
  const standings = await standingsOf(manager, loaded);
  const ids = toCondemn(standings, loaded.pool.policy, now.getTime());
  if (ids.length > 0) await condemn(transaction, { id: In([...ids]), state: 'durable' });
  return ids.length;
}

/** The durable checkpoints of a desktop, as the rule wants to know them. */
export async function standingsOf(manager: EntityManager, loaded: LoadedDesktop): Promise<CheckpointStanding[]> {
  const durable = await manager.findBy(CheckpointEntity, { desktopId: loaded.row.id, state: 'durable' });
  const waking = loaded.operation?.kind === 'restore' ? checkpointInUse(loaded) : null;
  return durable.map(({ id, durableAt, restoredAt, pinnedAt }) => ({
    id,
    durableAtMs: durableAt!.getTime(),
    restoredAtMs: restoredAt?.getTime() ?? null,
    pinned: pinnedAt !== null,
    current: id === loaded.row.checkpointId,
    waking: id === waking,
  }));
}

/** What the open operation works with: a restore wakes it, a save compares with it. */
export function checkpointInUse(loaded: LoadedDesktop): string | null {
  return sessionOf(loaded).operation?.goingBack?.checkpointId ?? loaded.row.checkpointId;
}

export async function findCheckpointInUse(
  manager: EntityManager,
  loaded: LoadedDesktop,
): Promise<CheckpointEntity | null> {
  const id = checkpointInUse(loaded);
  if (id === null) return null;
  const [checkpoint] = await selectRows(manager, CheckpointEntity, 'WHERE id = $1', [id]);
  return checkpoint ?? null;
}

/**
 * Applies the rule to every desktop, or to those of one pool: time has passed, or a policy has changed. Each desktop has a
 * transaction of its own, so that none waits for all.
 * @returns how many checkpoints were condemned
 */
export async function sweepRetention(transactions: Transactions, poolId: string | null = null): Promise<number> {
  const suspects = await transactions.run((transaction) => desktopsToLookAt(transaction, poolId));
  let condemned = 0;
  for (const desktopId of suspects) {
    condemned += await transactions.run(async (transaction) => {
      const loaded = await lockDesktop(transaction.manager, desktopId);
      return loaded === null ? 0 : applyRetention(transaction, loaded);
    });
  }
  return condemned;
}

/**
 * Desktops with a checkpoint that neither its number, its age, a pin nor the desktop itself keeps. A few too many: the rule
 * decides, this only spares thousands of desktops a lock each time.
 */
async function desktopsToLookAt({ manager, now }: LedgerTransaction, poolId: string | null): Promise<string[]> {
  const rows: { id: string }[] = await manager.query(
    `SELECT DISTINCT desktop_id AS id FROM (
       SELECT c.desktop_id, c.durable_at, p.policy, c.pinned_at IS NOT NULL OR c.id = d.checkpoint_id AS held,
         row_number() OVER (PARTITION BY c.desktop_id ORDER BY c.durable_at DESC, c.id) AS place
       FROM checkpoints c JOIN desktops d ON d.id = c.desktop_id JOIN pools p ON p.id = d.pool_id
       WHERE c.state = 'durable' AND ($1::text IS NULL OR p.id = $1)) AS standing
     WHERE held IS NOT TRUE AND place > (policy ->> 'keepCheckpoints')::int
       AND durable_at <= $2::timestamptz
         - coalesce((policy ->> 'keepCheckpointsForMs')::bigint, 0) * interval '1 millisecond'
     ORDER BY 1`,
    [poolId, now],
  );
  return rows.map(({ id }) => id);
}

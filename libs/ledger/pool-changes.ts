import type { EntityManager } from 'typeorm';
import { decideAndWrite } from './decide-and-write';
import { lockDesktop } from './loaded-desktop';
import type { Transactions } from './transactions';

/**
 * Decides again about every desktop whose deadline was set under an older policy of its pool; of one pool, or of all. Each
 * desktop has a transaction of its own, so that none waits for all: killed in between, the next sweep finds the rest.
 * @returns these desktops
 */
export async function applyPoolChanges(
  transactions: Transactions,
  poolId: string | null = null,
): Promise<readonly string[]> {
  const behind = await transactions.run(({ manager }) => desktopsBehind(manager, poolId));
  for (const desktopId of behind) {
    await transactions.run(async (transaction) => {
      const loaded = await lockDesktop(transaction.manager, desktopId);
      if (loaded !== null) await decideAndWrite(transaction, loaded, { type: 'pool_changed' });
    });
  }
  return behind;
}

/** The states are those of the partial index `desktops_waited_with`: only these have a deadline, or may get one. */
async function desktopsBehind(manager: EntityManager, poolId: string | null): Promise<string[]> {
  const rows: { id: string }[] = await manager.query(
    `SELECT d.id FROM pools p JOIN desktops d ON d.pool_id = p.id AND d.pool_version <> p.version
     WHERE d.absent_since IS NOT NULL AND d.machine_state IN ('running', 'grace', 'queued', 'save-failed')
       AND ($1::text IS NULL OR p.id = $1)
     ORDER BY 1`,
    [poolId],
  );
  return rows.map(({ id }) => id);
}

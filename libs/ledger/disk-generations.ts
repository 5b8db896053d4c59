import type { DesktopEntity } from '@dormouse/persistence';
import type { EntityManager } from 'typeorm';
import type { LedgerTransaction } from './transactions';

/** The layer that is written to from now on lies on the one before it. */
export async function openDiskGeneration(
  { manager, now }: LedgerTransaction,
  desktop: DesktopEntity,
  id: string,
): Promise<void> {
  const parent = desktop.diskGeneration === id ? null : desktop.diskGeneration;
  await manager.query(
    `INSERT INTO disk_generations (id, desktop_id, parent_id, state, created_at) VALUES ($1, $2, $3, 'open', $4)
     ON CONFLICT (id) DO UPDATE SET state = 'open' WHERE disk_generations.state = 'prepared'`,
    [id, desktop.id, parent, now],
  );
}

/** Nothing is written to it any more: a checkpoint depends on its content. */
export async function sealDiskGeneration(
  { manager, now }: LedgerTransaction,
  desktop: DesktopEntity,
  id: string,
): Promise<void> {
  const parent = desktop.diskGeneration === id ? null : desktop.diskGeneration;
  await manager.query(
    `INSERT INTO disk_generations (id, desktop_id, parent_id, state, created_at) VALUES ($1, $2, $3, 'sealed', $4)
     ON CONFLICT (id) DO UPDATE SET state = 'sealed'`,
    [id, desktop.id, parent, now],
  );
}

/** The checkpoint it was sealed for is withdrawn. */
export async function unsealDiskGeneration(manager: EntityManager, id: string): Promise<void> {
  await manager.query(`UPDATE disk_generations SET state = 'open' WHERE id = $1`, [id]);
}

import { type DesktopEntity, DiskGenerationEntity } from '@dormouse/persistence';
import type { EntityManager } from 'typeorm';
import { lockDesktop } from './loaded-desktop';
import type { LedgerTransaction, Transactions } from './transactions';

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

export async function diskGenerationsOf(manager: EntityManager, desktopId: string): Promise<string[]> {
  const rows = await manager.find(DiskGenerationEntity, { select: { id: true }, where: { desktopId } });
  return rows.map(({ id }) => id);
}

/** Their layers are gone: what lay on one of them lies on what that lay on. The one that is written to is not forgotten. */
export function forgetDiskGenerations(
  transactions: Transactions,
  desktopId: string,
  generations: readonly string[],
): Promise<void> {
  return transactions.run(async ({ manager }) => {
    const loaded = await lockDesktop(manager, desktopId);
    const rows = await manager.findBy(DiskGenerationEntity, { desktopId });
    const gone = new Map(
      rows
        .filter(({ id }) => generations.includes(id) && id !== loaded?.row.diskGeneration)
        .map(({ id, parentId }) => [id, parentId]),
    );
    for (const { id, parentId } of rows) {
      if (gone.has(id) || parentId === null || !gone.has(parentId)) continue;
      let below: string | null = parentId;
      while (below !== null && gone.has(below)) below = gone.get(below)!;
      await manager.update(DiskGenerationEntity, { id }, { parentId: below });
    }
    if (gone.size > 0) await manager.delete(DiskGenerationEntity, [...gone.keys()]);
  });
}

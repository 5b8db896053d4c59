import {
  DiskGenerationEntity,
  type CheckpointEntity,
  type DesktopEntity,
  type OperationEntity,
} from '@dormouse/persistence';
import { layerToWrite, type LayerToWrite } from '@dormouse/session';
import type { EntityManager } from 'typeorm';
import { lockDesktop } from './loaded-desktop';
import type { LedgerTransaction } from './ledger-transaction';
import type { Transactions } from './transactions';

/**
 * The layer that the machine of this operation writes to, if it has writable disks; null when the operation starts no
 * machine. A wake goes on from the disk of its checkpoint's instant, whatever the desktop has written since.
 */
export async function layerOf(
  manager: EntityManager,
  desktop: DesktopEntity,
  operation: OperationEntity,
  checkpoint: CheckpointEntity | null,
): Promise<LayerToWrite | null> {
  switch (operation.kind) {
    case 'restore': {
      const generation = checkpoint?.diskGeneration ?? null;
      return layerToWrite(operation.id, generation === null ? null : { generation, sealed: true });
    }
    case 'boot': {
      const generation = desktop.diskGeneration;
      if (generation === null) return layerToWrite(operation.id, null);
      const row = await manager.findOneBy(DiskGenerationEntity, { id: generation });
      return layerToWrite(operation.id, { generation, sealed: row?.state === 'sealed' });
    }
    default:
      return null;
  }
}

/** The layer that is written to from now on. */
export async function openDiskGeneration(
  { manager, now }: LedgerTransaction,
  desktopId: string,
  { generation, on, isNew }: LayerToWrite,
): Promise<void> {
  if (!isNew) return;
  await manager.query(
    `INSERT INTO disk_generations (id, desktop_id, parent_id, state, created_at) VALUES ($1, $2, $3, 'open', $4)
     ON CONFLICT (id) DO UPDATE SET state = 'open', parent_id = excluded.parent_id
       WHERE disk_generations.state = 'prepared'`,
    [generation, desktopId, on, now],
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

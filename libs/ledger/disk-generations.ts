import {
  DiskGenerationEntity,
  type CheckpointEntity,
  type DesktopEntity,
  type OperationEntity,
} from '@dormouse/persistence';
import { layerToWrite, type LayerToWrite } from '@dormouse/session';
import type { EntityManager } from 'typeorm';
import type { LedgerTransaction } from './transactions';

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

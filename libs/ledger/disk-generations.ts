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
      const name = await layerNameOf(manager, desktop, operation);
      return layerToWrite(name, generation === null ? null : { generation, sealed: true });
    }
    case 'boot': {
      const generation = desktop.diskGeneration;
      const name = await layerNameOf(manager, desktop, operation);
      if (generation === null) return layerToWrite(name, null);
      const row = await manager.findOneBy(DiskGenerationEntity, { id: generation });
      return layerToWrite(name, { generation, sealed: row?.state === 'sealed' });
    }
    default:
      return null;
  }
}

/**
 * Starts of a machine that nobody has seen the end of, since their host was fenced, and after which none has succeeded: their guests may
 * have written to the layers that were made for them. A layer that a worker has seen the end of is gone, or has its row.
 */
const unseenStarts = `
  SELECT o.id, o.kind, o.input ->> 'checkpointId' AS checkpoint_id FROM operations o
  WHERE o.desktop_id = $1 AND o.kind IN ('boot', 'restore') AND o.status = 'failed' AND o.attempt > 0
    AND o.error ->> 'code' = 'MACHINE_GONE'
    AND NOT EXISTS (SELECT FROM disk_generations g WHERE g.id = o.id)
    AND NOT EXISTS (SELECT FROM operations later WHERE later.desktop_id = o.desktop_id
      AND later.generation > o.generation AND later.kind IN ('boot', 'restore') AND later.status = 'succeeded')
  ORDER BY o.generation`;

interface UnseenStart {
  id: string;
  kind: string;
  checkpoint_id: string | null;
}

/** Layers that a guest may have written to without anybody's knowing: they stay until a machine has been started with them. */
export async function layersLeft(manager: EntityManager, desktopId: string): Promise<readonly string[]> {
  const left: UnseenStart[] = await manager.query(unseenStarts, [desktopId]);
  return left.map(({ id }) => id);
}

/**
 * A layer that is made for an operation is named after it. One that does over again what a fenced host was at goes on with the layer of
 * that: a boot with what the guest has written, while a wake notices it before it starts, and whoever may consent to the loss is asked.
 */
async function layerNameOf(
  manager: EntityManager,
  desktop: DesktopEntity,
  operation: OperationEntity,
): Promise<string> {
  const wanted = (id: unknown): unknown => id ?? desktop.checkpointId;
  const left: UnseenStart[] = await manager.query(unseenStarts, [desktop.id]);
  const same = left.find(({ kind, checkpoint_id }) => {
    return kind === operation.kind && wanted(checkpoint_id) === wanted(operation.input?.checkpointId);
  });
  return same?.id ?? operation.id;
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

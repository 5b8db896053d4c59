import { DesktopEntity } from '@dormouse/persistence';
import { openStatuses } from '@dormouse/session';
import type { DataSource, EntityManager } from 'typeorm';
import { layersLeft } from './disk-generations';
import { findOpenOperation } from './loaded-desktop';

/** What decides which objects and layers of a desktop stay; all of one moment. */
export interface DesktopHoldings {
  /** Null for a desktop that is not registered (any more). */
  readonly desktop: {
    readonly hostId: string | null;
    /** The layer that is written to. */
    readonly diskGeneration: string | null;
    readonly openOperationId: string | null;
    /** See `layersLeft`. */
    readonly layersLeft: readonly string[];
  } | null;
  /** Those that are not `deleted`, and of the deleted ones those asked about. */
  readonly checkpoints: readonly HeldCheckpoint[];
}

export interface HeldCheckpoint {
  readonly id: string;
  readonly state: 'writing' | 'durable' | 'condemned' | 'deleted';
  /** The desktop's own: what the next save leans on. */
  readonly isCurrent: boolean;
  /** ISO 8601. */
  readonly condemnedAt: string | null;
  readonly diskGeneration: string | null;
}

interface CheckpointRow {
  id: string;
  state: HeldCheckpoint['state'];
  condemned_at: Date | null;
  disk_generation: string | null;
}

/** @param asked checkpoint ids that objects were found of */
export function desktopHoldings(
  dataSource: DataSource,
  desktopId: string,
  asked: readonly string[],
): Promise<DesktopHoldings> {
  // One snapshot: between two of them a save may commit, and what it leans on would be wanted in neither.
  return dataSource.transaction('REPEATABLE READ', async (manager) => {
    const row = await manager.findOneBy(DesktopEntity, { id: desktopId });
    const rows: CheckpointRow[] = await manager.query(
      `SELECT id, state, condemned_at, disk_generation FROM checkpoints
       WHERE desktop_id = $1 AND (state <> 'deleted' OR id::text = ANY ($2))`,
      [desktopId, asked],
    );
    const operation = row === null ? null : await findOpenOperation(manager, desktopId);
    return {
      desktop: row && {
        hostId: row.hostId,
        diskGeneration: row.diskGeneration,
        openOperationId: operation?.id ?? null,
        layersLeft: await layersLeft(manager, desktopId),
      },
      checkpoints: rows.map(({ id, state, condemned_at, disk_generation }) => ({
        id,
        state,
        isCurrent: id === row?.checkpointId,
        condemnedAt: condemned_at?.toISOString() ?? null,
        diskGeneration: disk_generation,
      })),
    };
  });
}

/** Desktops, registered or not, with checkpoints that were condemned before `at` and are not collected yet. */
export async function desktopsWithCondemned(manager: EntityManager, at: Date): Promise<string[]> {
  const rows: { desktop_id: string }[] = await manager.query(
    `SELECT DISTINCT desktop_id FROM checkpoints WHERE state = 'condemned' AND condemned_at <= $1 ORDER BY 1`,
    [at],
  );
  return rows.map(({ desktop_id }) => desktop_id);
}

/**
 * Of these desktops those that lived on this host and were deleted before `at`. One that this database has never heard of is
 * not among them: it belongs to somebody else, or to a database that was lost.
 */
export async function deletedDesktops(
  manager: EntityManager,
  hostId: string,
  desktopIds: readonly string[],
  at: Date,
): Promise<string[]> {
  const rows: { desktop_id: string }[] = await manager.query(
    `SELECT desktop_id FROM operations
     WHERE desktop_id = ANY ($1) AND NOT EXISTS (SELECT 1 FROM desktops WHERE desktops.id = operations.desktop_id)
     GROUP BY desktop_id
     HAVING bool_or(host_id = $2) AND bool_and(NOT status = ANY ($3)) AND max(ended_at) <= $4`,
    [desktopIds, hostId, [...openStatuses], at],
  );
  return rows.map(({ desktop_id }) => desktop_id);
}

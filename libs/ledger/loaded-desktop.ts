import { DormouseError } from '@dormouse/errors';
import { DesktopEntity, OperationEntity, PoolEntity } from '@dormouse/persistence';
import type { GoingBack, OpenOperation, Pool, Session } from '@dormouse/session';
import type { EntityManager } from 'typeorm';
import { desktopKey, isDesktopId } from '@dormouse/text';
import { selectRows } from './rows';

/** A desktop whose row this transaction holds, with all that a decision needs. */
export interface LoadedDesktop {
  readonly row: DesktopEntity;
  operation: OperationEntity | null;
  readonly pool: Pool & { readonly version: number };
}

/** In the words of the index `desktops_key`: capitals do not count. */
const named = 'WHERE lower(id) = ANY ($1)';

/** Waits for whoever holds the row. */
export async function lockDesktop(manager: EntityManager, desktopId: string): Promise<LoadedDesktop | null> {
  const [loaded] = await lockDesktops(manager, [desktopId], 'wait');
  return loaded ?? null;
}

/** The desktop of an operation, whatever has become of that. Waits for whoever holds the row. */
export async function lockDesktopOf(manager: EntityManager, operationId: string): Promise<LoadedDesktop | null> {
  const rows = await selectRows(
    manager,
    DesktopEntity,
    'WHERE id = (SELECT desktop_id FROM operations WHERE id = $1) FOR UPDATE',
    [operationId],
  );
  const [loaded] = await withAllAbout(manager, rows);
  return loaded ?? null;
}

/**
 * Those of them that there are, always in the same order: two who lock many do not wait for each other.
 * @param held what becomes of those that somebody else holds
 */
export async function lockDesktops(
  manager: EntityManager,
  desktopIds: readonly string[],
  held: 'wait' | 'leave out',
): Promise<LoadedDesktop[]> {
  const waiting = held === 'wait' ? '' : 'SKIP LOCKED';
  const rows = await selectRows(manager, DesktopEntity, `${named} ORDER BY id FOR UPDATE ${waiting}`, [
    desktopIds.map(desktopKey),
  ]);
  return withAllAbout(manager, rows);
}

/** As it is; nobody who only looks makes a worker wait. @throws DESKTOP_UNKNOWN */
export async function readDesktop(manager: EntityManager, desktopId: string): Promise<LoadedDesktop> {
  const rows = await selectRows(manager, DesktopEntity, named, [[desktopKey(desktopId)]]);
  const [loaded] = await withAllAbout(manager, rows);
  return loaded ?? unknownDesktop(desktopId);
}

/** Its id as it was registered, however its letters are written here; null when there is none. */
export async function registeredId(manager: EntityManager, desktopId: string): Promise<string | null> {
  if (!isDesktopId(desktopId)) return null; // nothing has such an id, and Postgres takes some of these for an error
  const rows: { id: string }[] = await manager.query(`SELECT id FROM desktops ${named}`, [[desktopKey(desktopId)]]);
  return rows[0]?.id ?? null;
}

/** In statements of their own: one that had to wait for a lock would see of the other tables what was before it waited. */
async function withAllAbout(manager: EntityManager, rows: readonly DesktopEntity[]): Promise<LoadedDesktop[]> {
  if (rows.length === 0) return [];
  const ids = rows.map(({ id }) => id);
  const poolIds = [...new Set(rows.map(({ poolId }) => poolId))];
  const [operations, pools] = await Promise.all([
    openOperations(manager, ids),
    selectRows(manager, PoolEntity, 'WHERE id = ANY ($1)', [poolIds]),
  ]);
  const operationOf = new Map(operations.map((operation) => [operation.desktopId, operation]));
  const poolOf = new Map(pools.map((pool) => [pool.id, pool]));
  return rows.map((row) => ({ row, operation: operationOf.get(row.id) ?? null, pool: poolOf.get(row.poolId)! }));
}

/** @throws DESKTOP_UNKNOWN */
export async function lockKnownDesktop(manager: EntityManager, desktopId: string): Promise<LoadedDesktop> {
  return (await lockDesktop(manager, desktopId)) ?? unknownDesktop(desktopId);
}

export function unknownDesktop(desktopId: string): never {
  throw desktopUnknown(desktopId);
}

export function desktopUnknown(desktopId: string): DormouseError {
  return new DormouseError('DESKTOP_UNKNOWN', `no desktop ${desktopId} is registered`, { desktopId });
}

export async function findOpenOperation(manager: EntityManager, desktopId: string): Promise<OperationEntity | null> {
  const [operation] = await openOperations(manager, [desktopId]);
  return operation ?? null;
}

/** In the words of the index `operations_one_open`. */
function openOperations(manager: EntityManager, desktopIds: readonly string[]): Promise<OperationEntity[]> {
  return selectRows(manager, OperationEntity, `WHERE desktop_id = ANY ($1) AND status IN ('pending', 'active')`, [
    desktopIds,
  ]);
}

export function sessionOf({ row, operation }: LoadedDesktop): Session {
  const { absentSince, absenceCause } = row;
  return {
    desktopId: row.id,
    broker: row.broker,
    machine: row.machineState,
    machineSinceMs: row.stateSince.getTime(),
    generation: row.generation,
    presence: row.presence,
    absence:
      absentSince === null || absenceCause === null ? null : { sinceMs: absentSince.getTime(), cause: absenceCause },
    doubtSinceMs: epochMs(row.doubtSince),
    wokeAtMs: epochMs(row.wokeAt),
    untouched: row.untouched,
    heldUntilMs: epochMs(row.heldUntil),
    deadlineMs: epochMs(row.graceDeadline),
    operation: operation === null ? null : openOperationOf(operation),
    accepted: row.fingerprint !== null,
    checkpointed: row.checkpointId !== null,
    restoreFailures: row.restoreFailures,
    wakesInVain: row.wakesInVain,
    saveFailures: row.saveFailures,
    lastError: row.lastError,
  };
}

function epochMs(at: Date | null): number | null {
  return at?.getTime() ?? null;
}

function openOperationOf(operation: OperationEntity): OpenOperation {
  return {
    kind: operation.kind,
    phase: operation.phase,
    status: operation.status === 'active' ? 'active' : 'pending',
    requestedBy: operation.requestedBy,
    cancelRequested: operation.cancelRequestedAt !== null,
    forced: operation.forced,
    awaited: operation.awaited,
    goingBack: (operation.input?.goingBack ?? null) as GoingBack | null,
    again: operation.again,
  };
}

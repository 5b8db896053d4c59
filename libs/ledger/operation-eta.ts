import type { OperationEntity } from '@dormouse/persistence';
import { etaOf, openStatuses, spreadOf, type JsonObject, type OperationKind, type Taken } from '@dormouse/session';
import type { EntityManager } from 'typeorm';
import type { EtaView } from '@dormouse/views';

/** How many earlier operations are learned from: few enough to follow a change, enough for one of them to be odd. */
const mostOf = { desktop: 5, pool: 20 } as const;
/** Of a pool, however long it lasts to find some that are alike. */
const mostLookedAt = 500;

interface EarlierRow {
  readonly result: JsonObject | null;
  readonly created_at: Date;
  readonly started_at: Date;
  readonly ended_at: Date;
}

/**
 * What of a launch spec says nothing about how long its guest takes. Of desktops that differ in anything else nothing is learned for each
 * other.
 */
const apart = '{nics,display,extraArguments}';

/**
 * What is to be expected of an open operation, learned from the last of its kind: of its desktop, or else of those of its pool that are
 * built alike. What was before a desktop was registered as it is now was another guest.
 */
export async function expected(manager: EntityManager, operation: OperationEntity, now: Date): Promise<EtaView | null> {
  const { kind, phase, status, createdAt, startedAt, phaseSince, progress } = operation;
  const openStatus = openStatuses.find((one) => one === status);
  if (openStatus === undefined) return null;
  const { taken, of } = await earlier(manager, operation);
  const standing = {
    kind,
    phase,
    status: openStatus,
    createdAtMs: createdAt.getTime(),
    startedAtMs: startedAt?.getTime() ?? null,
    phaseSinceMs: phaseSince.getTime(),
    bytes: bytesIn(progress),
  };
  return {
    ...etaOf(standing, taken, now.getTime()),
    spread: spreadOf(taken),
    learnedFrom: taken.length,
    of: taken.length === 0 ? null : of,
  };
}

const sinceRegistered = `NOT EXISTS (SELECT 1 FROM operations r WHERE r.desktop_id = o.desktop_id AND r.kind = 'register'
  AND r.status = 'succeeded' AND r.generation > o.generation)`;

async function earlier(
  manager: EntityManager,
  { desktopId, poolId, kind }: OperationEntity,
): Promise<{ taken: readonly Taken[]; of: 'desktop' | 'pool' }> {
  const columns = 'SELECT result, created_at, started_at, ended_at FROM operations';
  const own: EarlierRow[] = await manager.query(
    `${columns} o WHERE desktop_id = $1 AND kind = $2 AND status = 'succeeded' AND ${sinceRegistered}
     ORDER BY generation DESC LIMIT $3`,
    [desktopId, kind, mostOf.desktop],
  );
  if (own.length > 0) return { taken: own.flatMap((row) => takenBy(kind, row)), of: 'desktop' };
  const others: EarlierRow[] = await manager.query(
    `SELECT result, created_at, started_at, ended_at FROM (
       SELECT * FROM operations WHERE pool_id = $1 AND kind = $2 AND status = 'succeeded' ORDER BY ended_at DESC LIMIT $3) AS o
     WHERE EXISTS (SELECT 1 FROM desktops d JOIN desktops own ON own.id = $5
         WHERE d.id = o.desktop_id AND d.launch_spec - $4::text[] = own.launch_spec - $4::text[])
       AND ${sinceRegistered}
     ORDER BY ended_at DESC LIMIT $6`,
    [poolId, kind, mostLookedAt, apart, desktopId, mostOf.pool],
  );
  return { taken: others.flatMap((row) => takenBy(kind, row)), of: 'pool' };
}

/** As the worker has measured it. Nothing of one whose worker was followed by another, which has seen the rest only. */
function takenBy(kind: OperationKind, { result, created_at, started_at, ended_at }: EarlierRow): Taken[] {
  const told = (name: string): number | null => (typeof result?.[name] === 'number' ? result[name] : null);
  const endedMs = ended_at.getTime();
  switch (kind) {
    case 'save': {
      const [captureMs, frozenMs] = [told('captureMs'), told('frozenMs')];
      if (captureMs === null || frozenMs === null) return [];
      return [{ readyMs: null, workMs: captureMs + frozenMs, bytes: told('ramBytes') }];
    }
    case 'restore': {
      const [ttrMs, hydratedMs] = [told('ttrMs'), told('hydratedMs')];
      if (ttrMs === null || hydratedMs === null) return [];
      return [{ readyMs: ttrMs, workMs: hydratedMs, bytes: told('memoryBytes') }];
    }
    case 'boot':
      return [{ readyMs: endedMs - created_at.getTime(), workMs: endedMs - started_at.getTime(), bytes: null }];
    default:
      return [{ readyMs: null, workMs: endedMs - started_at.getTime(), bytes: null }];
  }
}

function bytesIn({ doneBytes, totalBytes }: JsonObject): { done: number; total: number } | null {
  if (typeof doneBytes !== 'number' || typeof totalBytes !== 'number' || totalBytes === 0) return null;
  return { done: doneBytes, total: totalBytes };
}

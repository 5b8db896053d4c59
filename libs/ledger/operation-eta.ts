import type { OperationEntity } from '@dormouse/persistence';
import { etaOf, openStatuses, type JsonObject, type OperationKind, type Taken } from '@dormouse/session';
import type { EntityManager } from 'typeorm';
import type { EtaView } from './views';

/** How many earlier operations are learned from: few enough to follow a change, enough for one of them to be odd. */
const mostOf = { desktop: 5, pool: 20 } as const;

interface EarlierRow {
  readonly result: JsonObject | null;
  readonly created_at: Date;
  readonly started_at: Date;
  readonly ended_at: Date;
}

/** What is to be expected of an open operation, learned from the last of its kind: of its desktop, or else of its pool. */
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
  return { ...etaOf(standing, taken, now.getTime()), learnedFrom: taken.length, of: taken.length === 0 ? null : of };
}

async function earlier(
  manager: EntityManager,
  { desktopId, poolId, kind }: OperationEntity,
): Promise<{ taken: readonly Taken[]; of: 'desktop' | 'pool' }> {
  const columns = 'SELECT result, created_at, started_at, ended_at FROM operations';
  const own: EarlierRow[] = await manager.query(
    `${columns} WHERE desktop_id = $1 AND kind = $2 AND status = 'succeeded' ORDER BY generation DESC LIMIT $3`,
    [desktopId, kind, mostOf.desktop],
  );
  if (own.length > 0) return { taken: own.flatMap((row) => takenBy(kind, row)), of: 'desktop' };
  const others: EarlierRow[] = await manager.query(
    `${columns} WHERE pool_id = $1 AND kind = $2 AND status = 'succeeded' ORDER BY ended_at DESC LIMIT $3`,
    [poolId, kind, mostOf.pool],
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

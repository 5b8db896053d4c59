import { DormouseError } from '@dormouse/errors';
import { DesktopEntity, OperationEntity, PoolEntity } from '@dormouse/persistence';
import { openStatuses, type GoingBack, type OpenOperation, type Pool, type Session } from '@dormouse/session';
import { In, type EntityManager } from 'typeorm';

/** A desktop whose row this transaction holds, with all that a decision needs. */
export interface LoadedDesktop {
  readonly row: DesktopEntity;
  operation: OperationEntity | null;
  readonly pool: Pool & { readonly version: number };
}

/** Waits for whoever holds the row. */
export async function lockDesktop(manager: EntityManager, desktopId: string): Promise<LoadedDesktop | null> {
  const row = await manager.findOne(DesktopEntity, {
    where: { id: desktopId },
    lock: { mode: 'pessimistic_write' },
  });
  return row === null ? null : withAllAbout(manager, row);
}

/** As it is; nobody who only looks makes a worker wait. @throws DESKTOP_UNKNOWN */
export async function readDesktop(manager: EntityManager, desktopId: string): Promise<LoadedDesktop> {
  const row = await manager.findOneBy(DesktopEntity, { id: desktopId });
  return row === null ? unknownDesktop(desktopId) : withAllAbout(manager, row);
}

async function withAllAbout(manager: EntityManager, row: DesktopEntity): Promise<LoadedDesktop> {
  const operation = await findOpenOperation(manager, row.id);
  return { row, operation, pool: await manager.findOneByOrFail(PoolEntity, { id: row.poolId }) };
}

/** @throws DESKTOP_UNKNOWN */
export async function lockKnownDesktop(manager: EntityManager, desktopId: string): Promise<LoadedDesktop> {
  return (await lockDesktop(manager, desktopId)) ?? unknownDesktop(desktopId);
}

export function unknownDesktop(desktopId: string): never {
  throw new DormouseError('DESKTOP_UNKNOWN', `no desktop ${desktopId} is registered`, { desktopId });
}

export function findOpenOperation(manager: EntityManager, desktopId: string): Promise<OperationEntity | null> {
  return manager.findOneBy(OperationEntity, { desktopId, status: In([...openStatuses]) });
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
    loggedOff: row.loggedOff,
    idleSinceMs: epochMs(row.idleSince),
    assignment: row.assignment,
    wokeAtMs: epochMs(row.wokeAt),
    heldUntilMs: epochMs(row.heldUntil),
    deadlineMs: epochMs(row.graceDeadline),
    operation: operation === null ? null : openOperationOf(operation),
    accepted: row.fingerprint !== null,
    checkpointed: row.checkpointId !== null,
    restoreFailures: row.restoreFailures,
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

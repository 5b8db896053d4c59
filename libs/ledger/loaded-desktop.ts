import { DormouseError } from '@dormouse/errors';
import { DesktopEntity, OperationEntity, PoolEntity } from '@dormouse/persistence';
import { openStatuses, type GoingBack, type OpenOperation, type PoolPolicy, type Session } from '@dormouse/session';
import { In, type EntityManager } from 'typeorm';

/** A desktop whose row this transaction holds, with all that a decision needs. */
export interface LoadedDesktop {
  readonly row: DesktopEntity;
  operation: OperationEntity | null;
  readonly policy: PoolPolicy;
}

/** Waits for whoever holds the row. */
export async function lockDesktop(manager: EntityManager, desktopId: string): Promise<LoadedDesktop | null> {
  const row = await manager.findOne(DesktopEntity, {
    where: { id: desktopId },
    lock: { mode: 'pessimistic_write' },
  });
  if (row === null) return null;
  const operation = await findOpenOperation(manager, desktopId);
  const { policy } = await manager.findOneByOrFail(PoolEntity, { id: row.poolId });
  return { row, operation, policy };
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
  return {
    machine: row.machineState,
    generation: row.generation,
    presence: row.presence,
    deadlineMs: row.graceDeadline?.getTime() ?? null,
    operation: operation === null ? null : openOperationOf(operation),
    accepted: row.fingerprint !== null,
    checkpointed: row.checkpointId !== null,
    restoreFailures: row.restoreFailures,
    saveFailures: row.saveFailures,
    lastError: row.lastError,
  };
}

function openOperationOf(operation: OperationEntity): OpenOperation {
  return {
    kind: operation.kind,
    phase: operation.phase,
    status: operation.status === 'active' ? 'active' : 'pending',
    requestedBy: operation.requestedBy,
    cancelRequested: operation.cancelRequestedAt !== null,
    forced: operation.forced,
    goingBack: (operation.input?.goingBack ?? null) as GoingBack | null,
  };
}

import { OperationEntity } from '@dormouse/persistence';
import { mayFallBack, type JsonObject } from '@dormouse/session';
import { asCheckpointView, asDesktopView, asOperationView } from './as-view';
import type { ClaimedOperation } from './commands';
import { decideAndWrite } from './decide-and-write';
import { layerOf } from './disk-generations';
import { callOffExpired } from './expired';
import { holdsHost, type ClaimedHost } from './host-claims';
import { lockDesktopOf, sessionOf } from './loaded-desktop';
import { admittedByPool } from './pool-caps';
import { findCheckpointInUse } from './retention';
import { updateRow } from './rows';
import { findSlots } from './slots';
import type { Transactions } from './transactions';

/** No worker asks for more, those of other versions included. */
export const longestLeaseMs = 60_000;

interface Claim {
  readonly operationId: string;
  readonly generation: number;
  readonly workerId: string;
  readonly leaseMs: number;
  /** The host of the worker; null: whichever. */
  readonly hostId: string | null;
}

export function claim(
  transactions: Transactions,
  wanted: Claim,
  host: ClaimedHost | null,
): Promise<ClaimedOperation | null> {
  const { operationId, generation, workerId, leaseMs, hostId } = wanted;
  return transactions.run(async (transaction) => {
    const { manager, now } = transaction;
    const loaded = await lockDesktopOf(manager, operationId);
    const operation = loaded?.operation;
    if (!loaded || !operation || operation.id !== operationId || operation.generation !== generation) return null;

    // Placed anew since this job was sent: it is another host's now.
    if (hostId !== null && operation.hostId !== hostId) return null;
    if (host !== null && !(await holdsHost(manager, host))) return null;

    const leaseEndMs = operation.leaseExpiresAt?.getTime() ?? 0;
    // A lease that would last longer than any that is given was given before the clock was set back.
    const isLeased = leaseEndMs > now.getTime() && leaseEndMs <= now.getTime() + Math.max(leaseMs, longestLeaseMs);
    const isLeft = operation.phase === 'linger';
    if (!isLeft && operation.workerId !== workerId && isLeased) return null;

    const takenOver = operation.workerId !== null;
    if (await callOffExpired(transaction, loaded)) return null;
    if (!(await admittedByPool(transaction, loaded))) return null;
    // Before anything is written: when much waits, most claims end here.
    const slots = await findSlots(transaction, operation);
    await decideAndWrite(transaction, loaded, { type: 'claimed', generation });
    if (loaded.operation !== operation) return null;
    await updateRow(manager, OperationEntity, operation, {
      ...slots,
      workerId,
      leaseExpiresAt: new Date(now.getTime() + leaseMs),
      attempt: operation.attempt + 1,
      startedAt: operation.startedAt ?? now,
    });

    const { row } = loaded;
    const checkpoint = await findCheckpointInUse(manager, loaded);
    const layer = await layerOf(manager, row, operation, checkpoint);
    const candidate = operation.input?.launchSpec as JsonObject | undefined;
    return {
      fence: { desktopId: row.id, operationId, generation, attempt: operation.attempt },
      operation: asOperationView(operation),
      desktop: asDesktopView(row, operation),
      launchSpec: candidate ?? row.launchSpec,
      checkpoint: checkpoint === null ? null : asCheckpointView(checkpoint),
      layer,
      forced: operation.forced,
      mayFallBack: operation.kind === 'save' && mayFallBack(sessionOf(loaded), loaded.pool),
      takenOver,
      waitedMs: now.getTime() - operation.createdAt.getTime(),
    };
  });
}

export function renew(
  transactions: Transactions,
  { operationIds, workerId, leaseMs }: { operationIds: readonly string[]; workerId: string; leaseMs: number },
): Promise<readonly string[]> {
  return transactions.run(async ({ manager, now }) => {
    const [held]: [{ id: string }[], number] = await manager.query(
      `UPDATE operations SET lease_expires_at = $3
       WHERE id = ANY ($1) AND worker_id = $2 AND status = 'active' RETURNING id`,
      [operationIds, workerId, new Date(now.getTime() + leaseMs)],
    );
    const heldIds = new Set(held.map(({ id }) => id));
    return operationIds.filter((id) => !heldIds.has(id));
  });
}

import type { OperationEntity } from '@dormouse/persistence';
import type { JsonObject } from '@dormouse/session';
import type { LedgerTransaction } from './transactions';
import { hostQueue, jobIdOf, sessionQueue, type JobName } from './work';

interface OutboxMessage {
  readonly action: 'add' | 'remove';
  readonly queue: string;
  readonly name: JobName;
  readonly jobId: string;
  readonly payload: JsonObject;
  readonly runAt: Date;
}

/** The job of an open operation, in its host's queue. */
export function operationJob(transaction: LedgerTransaction, operation: OperationEntity, action: 'add' | 'remove') {
  const { kind, desktopId, generation, id: operationId, hostId } = operation;
  return write(transaction, {
    action,
    queue: hostQueue(hostId ?? 'none'),
    name: kind,
    jobId: jobIdOf(kind, desktopId, generation),
    payload: { desktopId, operationId, generation },
    runAt: transaction.now,
  });
}

/** An open operation that its worker has left is taken up again. The jobs of two moments do not swallow each other. */
export function resumeJob(transaction: LedgerTransaction, operation: OperationEntity, at: Date) {
  const { kind, desktopId, generation, id: operationId, hostId } = operation;
  return write(transaction, {
    action: 'add',
    queue: hostQueue(hostId ?? 'none'),
    name: kind,
    jobId: `${jobIdOf(kind, desktopId, generation)}-${at.getTime()}`,
    payload: { desktopId, operationId, generation },
    runAt: at,
  });
}

/** The timer of a deadline. Taking one out that has fired already does nothing. */
export function graceJob(
  transaction: LedgerTransaction,
  grace: { desktopId: string; generation: number; at: Date | 'never' },
) {
  const { desktopId, generation, at } = grace;
  return write(transaction, {
    action: at === 'never' ? 'remove' : 'add',
    queue: sessionQueue,
    name: 'grace',
    jobId: jobIdOf('grace', desktopId, generation),
    payload: { desktopId, generation },
    runAt: at === 'never' ? transaction.now : at,
  });
}

/** Clears away what a deleted desktop leaves on its host and in the storage. */
export function forgetJob(
  transaction: LedgerTransaction,
  { desktopId, generation, hostId }: { desktopId: string; generation: number; hostId: string },
) {
  return write(transaction, {
    action: 'add',
    queue: hostQueue(hostId),
    name: 'forget',
    jobId: jobIdOf('forget', desktopId, generation),
    payload: { desktopId, generation },
    runAt: transaction.now,
  });
}

async function write(transaction: LedgerTransaction, message: OutboxMessage): Promise<void> {
  const { action, queue, name, jobId, payload, runAt } = message;
  await transaction.manager.query(
    `INSERT INTO outbox (action, queue, name, job_id, payload, run_at, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
     ON CONFLICT (job_id, action) DO UPDATE SET payload = excluded.payload, run_at = excluded.run_at, dispatched_at = NULL`,
    [action, queue, name, jobId, JSON.stringify(payload), runAt, transaction.now],
  );
  transaction.wroteOutbox();
}

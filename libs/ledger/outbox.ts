import type { OperationEntity, OutboxEntity } from '@dormouse/persistence';
import { admission, admissionOf, type JsonObject } from '@dormouse/session';
import type { LedgerTransaction } from './transactions';
import { jobIdOf, queueOf, sessionQueue, type JobName } from './work';

interface OutboxMessage {
  readonly action: OutboxEntity['action'];
  readonly queue: string;
  readonly name: JobName;
  readonly jobId: string;
  readonly payload: JsonObject;
  readonly runAt: Date;
  /** As `admission` has it; 0 where nothing competes. */
  readonly priority: number;
}

/** The job of an open operation, in its host's queue. One that waits for a host has none. */
export async function operationJob(
  transaction: LedgerTransaction,
  operation: OperationEntity,
  action: OutboxEntity['action'],
): Promise<void> {
  const { kind, desktopId, generation, id: operationId, hostId } = operation;
  if (hostId === null) return;
  await write(transaction, {
    action,
    queue: queueOf(kind, hostId),
    name: kind,
    jobId: jobIdOf(kind, desktopId, generation),
    payload: { desktopId, operationId, generation },
    runAt: transaction.now,
    priority: admissionOf(operation),
  });
}

/** An open operation that its worker has left is taken up again. The jobs of two moments do not swallow each other. */
export function resumeJob(transaction: LedgerTransaction, operation: OperationEntity, at: Date): Promise<void> {
  return anotherJob(transaction, operation, { at, priority: admission['a waiting user'] }); // it may be for one
}

/** An operation that waited for its pool may begin. The job that found it full may still be about to end, and would swallow its like. */
export function calledJob(transaction: LedgerTransaction, operation: OperationEntity): Promise<void> {
  return anotherJob(transaction, operation, { at: transaction.now, priority: admissionOf(operation) });
}

async function anotherJob(
  transaction: LedgerTransaction,
  operation: OperationEntity,
  { at, priority }: { at: Date; priority: number },
): Promise<void> {
  const { kind, desktopId, generation, id: operationId, hostId } = operation;
  if (hostId === null) return;
  await write(transaction, {
    action: 'add',
    queue: queueOf(kind, hostId),
    name: kind,
    jobId: `${jobIdOf(kind, desktopId, generation)}-${at.getTime()}`,
    payload: { desktopId, operationId, generation },
    runAt: at,
    priority,
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
    priority: 0,
  });
}

/** Clears away what a deleted desktop leaves on its host and in the storage. */
export function forgetJob(
  transaction: LedgerTransaction,
  { desktopId, generation, hostId }: { desktopId: string; generation: number; hostId: string },
) {
  return write(transaction, {
    action: 'add',
    queue: queueOf('forget', hostId),
    name: 'forget',
    jobId: jobIdOf('forget', desktopId, generation),
    payload: { desktopId, generation },
    runAt: transaction.now,
    priority: admission['clearing away'],
  });
}

async function write(transaction: LedgerTransaction, message: OutboxMessage): Promise<void> {
  const { action, queue, name, jobId, payload, runAt, priority } = message;
  await transaction.manager.query(
    `INSERT INTO outbox (action, queue, name, job_id, payload, run_at, priority, created_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
     ON CONFLICT (job_id, action) DO UPDATE SET queue = excluded.queue, payload = excluded.payload,
       run_at = excluded.run_at, priority = excluded.priority, dispatched_at = NULL`,
    [action, queue, name, jobId, JSON.stringify(payload), runAt, priority, transaction.now],
  );
  transaction.wroteOutbox();
}

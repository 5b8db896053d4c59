import type { OperationEntity, OutboxEntity } from '@dormouse/persistence';
import { admission, admissionOf } from '@dormouse/session';
import type { LedgerTransaction } from './ledger-transaction';
import { jobIdOf, queueOf, sessionQueue } from './work';

/** The job of an open operation, in its host's queue. One that waits for a host has none. */
export function operationJob(
  { outbox, now }: LedgerTransaction,
  operation: OperationEntity,
  action: OutboxEntity['action'],
): void {
  const { kind, desktopId, generation, id: operationId, hostId } = operation;
  if (hostId === null) return;
  outbox.push({
    action,
    queue: queueOf(kind, hostId),
    name: kind,
    jobId: jobIdOf(kind, desktopId, generation),
    payload: { desktopId, operationId, generation },
    runAt: now,
    priority: admissionOf(operation),
  });
}

/** An open operation that its worker has left is taken up again. The jobs of two moments do not swallow each other. */
export function resumeJob(transaction: LedgerTransaction, operation: OperationEntity, at: Date): void {
  anotherJob(transaction, operation, { at, priority: admission['a waiting user'] }); // it may be for one
}

/** An operation that waited for its pool may begin. The job that found it full may still be about to end, and would swallow its like. */
export function calledJob(transaction: LedgerTransaction, operation: OperationEntity): void {
  anotherJob(transaction, operation, { at: transaction.now, priority: admissionOf(operation) });
}

function anotherJob(
  { outbox }: LedgerTransaction,
  operation: OperationEntity,
  { at, priority }: { at: Date; priority: number },
): void {
  const { kind, desktopId, generation, id: operationId, hostId } = operation;
  if (hostId === null) return;
  outbox.push({
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
  { outbox, now }: LedgerTransaction,
  { desktopId, generation, at }: { desktopId: string; generation: number; at: Date | 'never' },
): void {
  outbox.push({
    action: at === 'never' ? 'remove' : 'add',
    queue: sessionQueue,
    name: 'grace',
    jobId: jobIdOf('grace', desktopId, generation),
    payload: { desktopId, generation },
    runAt: at === 'never' ? now : at,
    priority: 0,
  });
}

/** Clears away what a deleted desktop leaves on its host and in the storage. */
export function forgetJob(
  { outbox, now }: LedgerTransaction,
  { desktopId, generation, hostId }: { desktopId: string; generation: number; hostId: string },
): void {
  outbox.push({
    action: 'add',
    queue: queueOf('forget', hostId),
    name: 'forget',
    jobId: jobIdOf('forget', desktopId, generation),
    payload: { desktopId, generation },
    runAt: now,
    priority: admission['clearing away'],
  });
}

/** One that fires within this time is told to the dispatcher at once; it looks by itself as often. */
const soonMs = 1_000;
const atOnce = '-infinity';

/**
 * Of two messages about one job the later counts. A job that is to be taken out and waits here is taken out of here.
 * @returns whether the dispatcher has something to do now
 */
export async function writeOutbox({ manager, now, outbox }: LedgerTransaction): Promise<boolean> {
  if (outbox.length === 0) return false;
  const latest = [...new Map(outbox.map((message) => [message.jobId, message])).values()];
  const rows = latest.map(({ jobId, runAt, ...message }) => {
    const waitUntil = runAt > now ? runAt : atOnce;
    return { ...message, job_id: jobId, run_at: runAt, wait_until: waitUntil, created_at: now };
  });
  // Rows that a dispatcher holds are not waited for: it may hang in Redis. It then withdraws the job after having added it.
  const written: { urgent: boolean }[] = await manager.query(
    `WITH given AS (SELECT * FROM jsonb_populate_recordset(NULL::outbox, $1)),
     withdrawn AS (DELETE FROM outbox WHERE id IN (
         SELECT waiting.id FROM outbox AS waiting JOIN given USING (job_id)
         WHERE waiting.job_id = ANY ($2)
           AND given.action = 'remove' AND waiting.action <> 'remove' AND waiting.dispatched_at IS NULL
         FOR UPDATE OF waiting SKIP LOCKED)
       RETURNING job_id, action)
     INSERT INTO outbox (action, queue, name, job_id, payload, run_at, priority, wait_until, created_at)
     SELECT action, queue, name, job_id, payload, run_at, priority, wait_until, created_at FROM given
     WHERE NOT (action = 'remove' AND job_id IN (SELECT job_id FROM withdrawn WHERE action = 'add'))
     ON CONFLICT (job_id, action) DO UPDATE SET queue = excluded.queue, payload = excluded.payload,
       run_at = excluded.run_at, priority = excluded.priority, wait_until = excluded.wait_until, dispatched_at = NULL
     RETURNING wait_until <= $3 AS urgent`,
    [JSON.stringify(rows), latest.map(({ jobId }) => jobId), new Date(now.getTime() + soonMs)],
  );
  return written.some(({ urgent }) => urgent);
}

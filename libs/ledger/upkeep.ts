import { DesktopEntity, OperationEntity } from '@dormouse/persistence';
import { In, IsNull, LessThan, MoreThan, Not } from 'typeorm';
import { aloneAtIt } from './alone-at-it';
import { writeCountedRefusals } from './audit';
import { longestLeaseMs } from './claims';
import { graceJob, operationJob } from './outbox';
import type { Transactions } from './transactions';

const hourMs = 60 * 60_000;
const keptMs = { outbox: hourMs, inbox: 8 * 24 * hourMs, answers: 24 * hourMs } as const;

export function requeueForgotten(
  transactions: Transactions,
  { waitingMs, overdueMs }: { waitingMs: number; overdueMs: number },
): Promise<readonly string[]> {
  return transactions.run(async (transaction) => {
    if (!(await aloneAtIt(transaction, 'upkeep'))) return [];
    const { manager, now } = transaction;
    const waiting = await manager.findBy(OperationEntity, [
      {
        status: 'pending',
        createdAt: LessThan(before(now, waitingMs)),
        hostId: Not(IsNull()),
        waitsForPool: IsNull(),
      },
      { status: 'active', leaseExpiresAt: LessThan(now) },
      // Given before the clock was set back; but one that lingers is left until its time.
      { status: 'active', leaseExpiresAt: MoreThan(before(now, -longestLeaseMs)), phase: Not('linger') },
    ]);
    // `hasten`: where the job is still there and waits by a clock that was set back, it waits no longer.
    for (const operation of waiting) operationJob(transaction, operation, 'hasten');

    const overdue = await manager.find(DesktopEntity, {
      select: { id: true, generation: true, graceDeadline: true },
      where: { machineState: In(['grace', 'save-failed', 'saved']), graceDeadline: LessThan(before(now, overdueMs)) },
    });
    for (const { id, generation, graceDeadline } of overdue) {
      const at = graceDeadline! > now ? graceDeadline! : now;
      graceJob(transaction, { desktopId: id, generation, at });
    }
    return [...waiting.map(({ desktopId }) => desktopId), ...overdue.map(({ id }) => id)];
  });
}

export function forgetOldMessages(transactions: Transactions): Promise<void> {
  return transactions.run(async (transaction) => {
    if (!(await aloneAtIt(transaction, 'upkeep'))) return;
    await writeCountedRefusals(transaction);
    const { manager, now } = transaction;
    await manager.query('DELETE FROM outbox WHERE dispatched_at < $1', [before(now, keptMs.outbox)]);
    await manager.query('DELETE FROM idempotency_keys WHERE begun_at < $1', [before(now, keptMs.answers)]);
    await manager.query('DELETE FROM inbox_events WHERE received_at < $1', [before(now, keptMs.inbox)]);
  });
}

function before(now: Date, ms: number): Date {
  return new Date(now.getTime() - ms);
}

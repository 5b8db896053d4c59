import { DormouseError } from '@dormouse/errors';
import { wayUp } from '@dormouse/session';
import type { DesktopView } from '@dormouse/views';
import { asDesktopView } from './as-view';
import { recordAudit } from './audit';
import type { PrewarmCommand } from './commands';
import { decideAndWrite } from './decide-and-write';
import { holdIn } from './holds';
import { lockKnownDesktop } from './loaded-desktop';
import type { Transactions } from './transactions';

/** Brings a desktop up before its user comes, and keeps it up until then if a time is given. */
export function prewarm(
  transactions: Transactions,
  desktopId: string,
  { until, reason, requestedBy }: PrewarmCommand,
): Promise<DesktopView> {
  return transactions.run(async (transaction) => {
    if (until !== undefined) await holdIn(transaction, desktopId, { until, reason, actor: requestedBy });
    const loaded = await lockKnownDesktop(transaction.manager, desktopId);
    const state = loaded.row.machineState;
    const way = wayUp[state];
    const refusal =
      way === null
        ? {
            code: 'DESKTOP_BUSY' as const,
            message: `the desktop is ${state}; it cannot be woken ahead of its user now`,
          }
        : way === 'up'
          ? undefined
          : (await decideAndWrite(transaction, loaded, { type: 'request', kind: way, reason, requestedBy })).refusal;
    // Thrown inside of the transaction: without the wake there is to be no hold either.
    if (refusal !== undefined) throw new DormouseError(refusal.code, refusal.message, { desktopId });
    await recordAudit(transaction, {
      actor: requestedBy,
      action: 'desktop.prewarm',
      target: desktopId,
      reason,
      outcome: way === 'up' ? 'joined' : 'accepted',
    });
    return asDesktopView(loaded.row, loaded.operation);
  });
}

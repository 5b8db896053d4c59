import { DormouseError } from '@dormouse/errors';
import { DesktopEntity } from '@dormouse/persistence';
import type { DesktopView } from '@dormouse/views';
import { asDesktopView } from './as-view';
import { recordAudit } from './audit';
import type { HoldCommand } from './commands';
import { decideAndWrite } from './decide-and-write';
import { lockKnownDesktop } from './loaded-desktop';
import { updateRow } from './rows';
import type { LedgerTransaction } from './ledger-transaction';
import type { Transactions } from './transactions';

/** Longer is a policy: `neverSave`. */
const longestHoldMs = 366 * 24 * 60 * 60_000;

/** `until` null ends the hold. */
export function holdDesktop(transactions: Transactions, desktopId: string, command: HoldCommand): Promise<DesktopView> {
  return transactions.run((transaction) => holdIn(transaction, desktopId, command));
}

export async function holdIn(
  transaction: LedgerTransaction,
  desktopId: string,
  { until, reason, actor }: HoldCommand,
): Promise<DesktopView> {
  const { manager, now } = transaction;
  if (until !== null && (until <= now || until.getTime() > now.getTime() + longestHoldMs)) {
    throw new DormouseError(
      'REQUEST_INVALID',
      `until must be a time from now on, at most a year ahead; it is now ${now.toISOString()}`,
    );
  }
  const loaded = await lockKnownDesktop(manager, desktopId);
  await decideAndWrite(transaction, loaded, { type: 'hold_set', untilMs: until?.getTime() ?? null });
  const about = until === null ? { heldBy: null, holdReason: null } : { heldBy: actor, holdReason: reason };
  await updateRow(manager, DesktopEntity, loaded.row, about);
  await recordAudit(transaction, {
    actor,
    action: until === null ? 'desktop.unhold' : 'desktop.hold',
    target: desktopId,
    reason,
    outcome: 'accepted',
    ...(until !== null && { details: { until: until.toISOString() } }),
  });
  return asDesktopView(loaded.row, loaded.operation);
}

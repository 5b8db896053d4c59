import type { DesktopView } from '@dormouse/views';
import { asDesktopView } from './as-view';
import { recordAudit } from './audit';
import type { BrokerCommand } from './commands';
import { decideAndWrite } from './decide-and-write';
import { lockKnownDesktop } from './loaded-desktop';
import type { Transactions } from './transactions';

/** What another broker has said of it stays, until that one ends it, or is retired. */
export function nameBroker(
  transactions: Transactions,
  desktopId: string,
  { source, reason, actor }: BrokerCommand,
): Promise<DesktopView> {
  return transactions.run(async (transaction) => {
    const loaded = await lockKnownDesktop(transaction.manager, desktopId);
    const { broker: before } = loaded.row;
    const { outcome } = await decideAndWrite(transaction, loaded, { type: 'broker_named', source });
    await recordAudit(transaction, {
      actor,
      action: 'desktop.broker',
      target: desktopId,
      reason,
      outcome: outcome === 'stale' ? 'ignored' : 'applied',
      details: { broker: source, before },
    });
    return asDesktopView(loaded.row, loaded.operation);
  });
}

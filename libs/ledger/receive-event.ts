import { isDesktopEvent, type BrokerEvent, type Decision, type DesktopEvent } from '@dormouse/session';
import { asDesktopView } from './as-view';
import type { Delivery, Receipt } from './commands';
import { decideOn } from './decide-and-write';
import { lockKnownDesktop } from './loaded-desktop';
import { brokerStarted } from './storms';
import type { LedgerTransaction, Transactions } from './transactions';
import { writeDecision } from './write-decision';

type Outcome = Receipt['outcome'];

/** The event, what it means, and the work that follows are stored together or not at all. */
export function receiveEvent(transactions: Transactions, { webhookId, event }: Delivery): Promise<Receipt> {
  return transactions.run((transaction) =>
    isDesktopEvent(event)
      ? receiveForDesktop(transaction, webhookId, event)
      : receiveForBroker(transaction, webhookId, event),
  );
}

async function receiveForDesktop(
  transaction: LedgerTransaction,
  webhookId: string,
  event: DesktopEvent,
): Promise<Receipt> {
  const loaded = await lockKnownDesktop(transaction.manager, event.desktopId);
  const decision = decideOn(transaction, loaded, { type: 'broker', event });
  const outcome = outcomeOf(decision);
  if (!(await storeOnce(transaction, webhookId, event, outcome))) {
    return { outcome: 'duplicate', desktop: asDesktopView(loaded.row, loaded.operation), explanation: seenBefore };
  }
  if (outcome !== 'stale') await writeDecision(transaction, loaded, decision);
  return { outcome, desktop: asDesktopView(loaded.row, loaded.operation), explanation: decision.explanation };
}

/** What a broker says of itself concerns no single desktop: its new epoch shows in the next event of each. */
async function receiveForBroker(
  transaction: LedgerTransaction,
  webhookId: string,
  event: BrokerEvent,
): Promise<Receipt> {
  const outcome = event.type === 'vdc.broker.started' ? 'applied' : 'ignored';
  const isNew = await storeOnce(transaction, webhookId, event, outcome);
  if (!isNew) return { outcome: 'duplicate', desktop: null, explanation: seenBefore };
  const storms = outcome === 'applied' ? await brokerStarted(transaction, event.source) : [];
  return {
    outcome,
    desktop: null,
    explanation:
      storms.length > 0
        ? `noted; who leaves ${storms.map(({ poolId }) => poolId).join(', ')} now is waited for longer than usual`
        : 'noted; it concerns no single desktop',
  };
}

const seenBefore = 'a webhook of this id was received before';

/** False when the webhook was stored before. Two at the same moment: the second waits here for the first to commit. */
async function storeOnce(
  { manager, now }: LedgerTransaction,
  webhookId: string,
  event: BrokerEvent,
  outcome: Outcome,
): Promise<boolean> {
  const stored: readonly unknown[] = await manager.query(
    `INSERT INTO inbox_events (webhook_id, source, type, desktop_id, data, occurred_at, received_at, outcome)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (webhook_id) DO NOTHING RETURNING webhook_id`,
    [
      webhookId,
      event.source,
      event.type,
      isDesktopEvent(event) ? event.desktopId : null,
      JSON.stringify(event.data),
      event.occurredAt,
      now,
      outcome,
    ],
  );
  return stored.length > 0;
}

function outcomeOf({ outcome }: Decision): Exclude<Outcome, 'duplicate'> {
  if (outcome === 'stale') return 'stale';
  return outcome === 'applied' || outcome === 'joined' ? 'applied' : 'ignored';
}

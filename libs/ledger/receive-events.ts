import { DormouseError } from '@dormouse/errors';
import { InboxEventEntity } from '@dormouse/persistence';
import { isDesktopEvent, type Decision, type DesktopEvent } from '@dormouse/session';
import { desktopKey } from '@dormouse/text';
import { asDesktopView } from './as-view';
import { heartbeat } from './brokers';
import type { Delivery, Receipt } from './commands';
import { decideOn } from './decide-and-write';
import { lockDesktops, type LoadedDesktop } from './loaded-desktop';
import { Inbox, inboxRow, seenBefore, storeOnce } from './inbox';
import { insertRows } from './rows';
import { brokerStarted } from './storms';
import type { LedgerTransaction } from './ledger-transaction';
import type { Transactions } from './transactions';
import { DecisionsTogether } from './write-decision';

type Outcome = Receipt['outcome'];

export interface DesktopDelivery extends Delivery {
  readonly event: DesktopEvent;
}

export function isOfDesktop(delivery: Delivery): delivery is DesktopDelivery {
  return isDesktopEvent(delivery.event);
}

/**
 * Events, what they mean, and the work that follows are stored together or not at all: those that come at the same time in one
 * transaction, which then costs hardly more than one of them would. They are decided about in the order given.
 * @param held what becomes of the events of desktops whose row somebody else holds
 * @returns a receipt or a refusal for each; null for desktops that are left out or that there are not
 */
export function receiveForDesktops(
  transactions: Transactions,
  deliveries: readonly DesktopDelivery[],
  held: 'wait' | 'leave out',
): Promise<readonly (Receipt | DormouseError | null)[]> {
  return transactions.run(async (transaction) => {
    const { manager } = transaction;
    const ids = [...new Set(deliveries.map(({ event }) => event.desktopId))];
    // Statements of one connection run in their order: what was received before is looked at when the rows are locked, and nobody
    // else stores a webhook of these desktops. An id that comes for two desktops at once breaks the insert of one of them, which
    // then comes again and is a duplicate.
    const [locked, inbox] = await Promise.all([lockDesktops(manager, ids, held), Inbox.of(manager, deliveries)]);
    const desktops = new Map(locked.map((loaded) => [desktopKey(loaded.row.id), loaded]));
    if (desktops.size === 0) return deliveries.map(() => null);
    const decisions = new DecisionsTogether(transaction);
    const stored: InboxEventEntity[] = [];
    const receipts: (Receipt | DormouseError | null)[] = [];
    for (const delivery of deliveries) {
      const { event } = delivery;
      const loaded = desktops.get(desktopKey(event.desktopId));
      if (loaded === undefined) {
        receipts.push(null);
        continue;
      }
      const decision = decideOn(transaction, loaded, { type: 'broker', event });
      if (decision.refusal !== undefined) {
        receipts.push(refused(decision.refusal, event));
        continue;
      }
      const verdict = inbox.take(delivery);
      if (verdict !== 'new') {
        receipts.push(verdict === 'duplicate' ? receiptOf(loaded, 'duplicate', seenBefore) : verdict);
        continue;
      }
      const outcome = outcomeOf(decision);
      stored.push({ ...inboxRow(transaction, delivery, outcome), desktopId: loaded.row.id });
      if (outcome !== 'stale') await decisions.write(loaded, decision);
      receipts.push(receiptOf(loaded, outcome, decision.explanation));
    }
    await Promise.all([insertRows(manager, InboxEventEntity, stored), decisions.writeRest()]);
    return receipts;
  });
}

/** What a broker says of itself concerns no single desktop: its new epoch shows in the next event of each. */
export function receiveForBroker(transactions: Transactions, delivery: Delivery): Promise<Receipt> {
  const { event } = delivery;
  return transactions.run(async (transaction) => {
    const outcome = event.type === 'vdc.broker.started' ? 'applied' : 'ignored';
    if (!(await isNew(transaction, delivery, outcome))) return duplicate;
    if (event.type === 'vdc.broker.heartbeat') await heartbeat(transaction, event);
    const storms = outcome === 'applied' ? await brokerStarted(transaction, event.source) : [];
    return {
      outcome,
      desktop: null,
      explanation:
        storms.length > 0
          ? `noted; who leaves ${storms.map(({ poolId }) => poolId).join(', ')} now is waited for longer than usual`
          : 'noted; it concerns no single desktop',
    };
  });
}

/** Something is over that there is not: there is nothing to do, and a broker that was refused would only send it again. */
export function receiveForNobody(transactions: Transactions, delivery: DesktopDelivery): Promise<Receipt> {
  return transactions.run(async (transaction) =>
    (await isNew(transaction, delivery, 'ignored'))
      ? { outcome: 'ignored', desktop: null, explanation: `no desktop ${delivery.event.desktopId} is registered` }
      : duplicate,
  );
}

const duplicate: Receipt = { outcome: 'duplicate', desktop: null, explanation: seenBefore };

/** @throws WEBHOOK_ID_REUSED, EVENT_ID_REUSED */
async function isNew(transaction: LedgerTransaction, delivery: Delivery, outcome: Outcome): Promise<boolean> {
  const verdict = await storeOnce(transaction, delivery, outcome);
  if (verdict instanceof DormouseError) throw verdict;
  return verdict === 'new';
}

function refused({ code, message }: NonNullable<Decision['refusal']>, event: DesktopEvent): DormouseError {
  return new DormouseError(code, message, { source: event.source, desktopId: event.desktopId });
}

function receiptOf({ row, operation }: LoadedDesktop, outcome: Outcome, explanation: string): Receipt {
  return { outcome, desktop: asDesktopView(row, operation), explanation };
}

function outcomeOf({ outcome }: Decision): Exclude<Outcome, 'duplicate'> {
  if (outcome === 'stale') return 'stale';
  return outcome === 'applied' || outcome === 'joined' ? 'applied' : 'ignored';
}

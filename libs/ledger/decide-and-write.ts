import { decide, type Decision, type SessionEvent } from '@dormouse/session';
import { sessionOf, type LoadedDesktop } from './loaded-desktop';
import type { LedgerTransaction } from './ledger-transaction';
import { writeDecision, type DecisionContext } from './write-decision';

export function decideOn({ now }: LedgerTransaction, loaded: LoadedDesktop, event: SessionEvent): Decision {
  return decide(sessionOf(loaded), event, loaded.pool, now.getTime());
}

/** Decides, and writes unless the event is stale. A refusal may leave a mark too: that the operation is called off. */
export async function decideAndWrite(
  transaction: LedgerTransaction,
  loaded: LoadedDesktop,
  event: SessionEvent,
  context: DecisionContext = {},
): Promise<Decision> {
  const decision = decideOn(transaction, loaded, event);
  if (decision.outcome !== 'stale') await writeDecision(transaction, loaded, decision, context);
  return decision;
}

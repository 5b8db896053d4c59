import { DormouseError } from '@dormouse/errors';
import type { RetiredBrokerView } from '@dormouse/views';
import { recordAudit } from './audit';
import { decideOn } from './decide-and-write';
import { lockDesktops } from './loaded-desktop';
import type { LedgerTransaction } from './ledger-transaction';
import type { Transactions } from './transactions';
import { DecisionsTogether } from './write-decision';

/** Desktops that forget it in one transaction. */
const mostTogether = 100;

export interface RetireCommand {
  /** In its one form, as `brokerName` gives it. */
  readonly source: string;
  readonly reason: string;
  readonly actor: string;
}

/**
 * A broker that is gone for good: it is not waited for any more, and nothing that it has said of any desktop counts. Should it speak
 * again, it is a broker as any other. Killed half way, it is done again from where it ended.
 * @throws BROKER_UNKNOWN
 */
export async function retireBroker(
  transactions: Transactions,
  { source, reason, actor }: RetireCommand,
): Promise<RetiredBrokerView> {
  const desktopIds = await transactions.run(async (transaction) => {
    const found = await desktopsOf(transaction, source);
    const [, removed]: [unknown, number] = await transaction.manager.query('DELETE FROM brokers WHERE id = $1', [
      source,
    ]);
    if (removed === 0 && found.length === 0) {
      throw new DormouseError('BROKER_UNKNOWN', `no broker ${source} has sent heartbeats, or spoken of a desktop`, {
        source,
      });
    }
    const details = { desktops: found.length };
    await recordAudit(transaction, {
      actor,
      action: 'broker.retire',
      target: source,
      reason,
      outcome: 'applied',
      details,
    });
    return found;
  });
  let desktops = 0;
  for (let from = 0; from < desktopIds.length; from += mostTogether) {
    desktops += await forget(transactions, source, desktopIds.slice(from, from + mostTogether));
  }
  return { id: source, desktops };
}

/** Waits for whoever holds one of them. @returns how many had heard something of it */
function forget(transactions: Transactions, source: string, desktopIds: readonly string[]): Promise<number> {
  return transactions.run(async (transaction) => {
    const decisions = new DecisionsTogether(transaction);
    let told = 0;
    for (const loaded of await lockDesktops(transaction.manager, desktopIds, 'wait')) {
      const decision = decideOn(transaction, loaded, { type: 'broker_retired', source });
      if (decision.outcome === 'stale') continue;
      await decisions.write(loaded, decision);
      told += 1;
    }
    await decisions.writeRest();
    return told;
  });
}

async function desktopsOf({ manager }: LedgerTransaction, source: string): Promise<string[]> {
  const rows: { id: string }[] = await manager.query(
    `SELECT id FROM desktops WHERE broker = $1
     UNION SELECT id FROM desktops WHERE presence -> 'sources' @> jsonb_build_array(jsonb_build_object('source', $1::text))
     ORDER BY id`,
    [source],
  );
  return rows.map(({ id }) => id);
}

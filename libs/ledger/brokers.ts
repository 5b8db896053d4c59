import type { BrokerHeartbeat } from '@dormouse/session';
import type { BrokerView } from '@dormouse/views';
import { aloneAtIt } from './alone-at-it';
import { decideOn } from './decide-and-write';
import { lockDesktops } from './loaded-desktop';
import { withMachine } from './placing';
import type { LedgerTransaction } from './ledger-transaction';
import type { Transactions } from './transactions';
import { DecisionsTogether } from './write-decision';

/** What a broker that does not say how soon its next heartbeat comes is taken to mean. */
const usualIntervalSeconds = 30;
/** So many intervals without a heartbeat are a silence: two may be lost on their way. */
const intervalsOfSilence = 3;
/** Desktops that are told of it in one transaction. */
const mostTogether = 100;

export interface BrokerWatched {
  /** Brokers that have fallen silent since the last look, and those that are heard again. */
  readonly fellSilent: readonly string[];
  readonly heardAgain: readonly string[];
  /** Desktops of which it is not known any more who is there, and those of which it is again. */
  readonly inDoubt: number;
  readonly certain: number;
}

/** A broker that sends heartbeats is to send more of them; one that never does is not waited for. */
export async function heartbeat(
  { manager, now }: LedgerTransaction,
  { source, intervalSeconds }: BrokerHeartbeat,
): Promise<void> {
  await manager.query(
    `INSERT INTO brokers (id, interval_seconds, heard_at) VALUES ($1, $2, $3)
     ON CONFLICT (id) DO UPDATE SET interval_seconds = excluded.interval_seconds,
       heard_at = greatest(brokers.heard_at, excluded.heard_at)`,
    [source, intervalSeconds ?? usualIntervalSeconds, now],
  );
}

/**
 * Holds true: of every desktop that has a machine and a silent broker it is not known who is there, and of no other for that reason.
 * To be asked every few seconds.
 */
export async function watchBrokers(transactions: Transactions): Promise<BrokerWatched> {
  const { fellSilent, heardAgain, toTell } = await transactions.run(look);
  const told = { broker_silent: 0, broker_heard: 0 };
  for (const type of ['broker_silent', 'broker_heard'] as const) {
    const those = toTell.filter(({ silent }) => silent === (type === 'broker_silent'));
    for (let from = 0; from < those.length; from += mostTogether) {
      told[type] += await tell(transactions, those.slice(from, from + mostTogether), type);
    }
  }
  return { fellSilent, heardAgain, inDoubt: told.broker_silent, certain: told.broker_heard };
}

export function listBrokers(transactions: Transactions): Promise<readonly BrokerView[]> {
  return transactions.run(async ({ manager }) => {
    const rows: { id: string; interval_seconds: number; heard_at: Date; silent_since: Date | null }[] =
      await manager.query('SELECT id, interval_seconds, heard_at, silent_since FROM brokers ORDER BY id');
    return rows.map(({ id, interval_seconds, heard_at, silent_since }) => ({
      id,
      intervalSeconds: interval_seconds,
      heardAt: heard_at.toISOString(),
      silentSince: silent_since?.toISOString() ?? null,
    }));
  });
}

/** In the words of the index `desktops_in_silence`. */
const inSilence = `d.presence @? '$.sources[*].silent'`;
/** That a desktop knows already of the broker `b` that it is silent. */
const isSilentIn = `EXISTS (SELECT 1 FROM jsonb_array_elements(d.presence -> 'sources') AS part
  WHERE part ->> 'source' = b.id AND part ? 'silent')`;

interface ToTell {
  readonly id: string;
  readonly source: string;
  readonly silent: boolean;
}

interface Looked extends Pick<BrokerWatched, 'fellSilent' | 'heardAgain'> {
  readonly toTell: readonly ToTell[];
}

async function look(transaction: LedgerTransaction): Promise<Looked> {
  const { manager, now } = transaction;
  if (!(await aloneAtIt(transaction, 'brokers'))) return { fellSilent: [], heardAgain: [], toTell: [] };
  const [changed]: [{ id: string; silent: boolean }[], number] = await manager.query(
    `UPDATE brokers SET silent_since = CASE WHEN silent_since IS NULL THEN $1::timestamptz END
     WHERE (silent_since IS NOT NULL) <> (heard_at < $1::timestamptz - $2 * interval_seconds * interval '1 second')
     RETURNING id, silent_since IS NOT NULL AS silent`,
    [now, intervalsOfSilence],
  );
  // Who waits for their first user waits on, and of whom nothing was known more is not known.
  const toTell: ToTell[] = await manager.query(
    `SELECT d.id, b.id AS source, true AS silent
     FROM brokers b JOIN desktops d ON d.presence -> 'sources' @> jsonb_build_array(jsonb_build_object('source', b.id))
     WHERE b.silent_since IS NOT NULL AND d.${withMachine} AND NOT ${isSilentIn}
       AND (d.absent_since IS NOT NULL OR d.doubt_since IS NOT NULL OR d.presence @? '$.sources[*].connections[*] ? (@.open == true)')
     UNION ALL
     SELECT d.id, b.id, false FROM desktops d JOIN brokers b ON b.silent_since IS NULL AND ${isSilentIn}
     WHERE ${inSilence}
     ORDER BY id`,
  );
  const of = (silent: boolean) => changed.filter((one) => one.silent === silent).map(({ id }) => id);
  return { fellSilent: of(true), heardAgain: of(false), toTell };
}

/** Those whose row somebody holds are found again by the next look. @returns how many have heard something new */
function tell(
  transactions: Transactions,
  those: readonly ToTell[],
  type: 'broker_silent' | 'broker_heard',
): Promise<number> {
  return transactions.run(async (transaction) => {
    const decisions = new DecisionsTogether(transaction);
    let told = 0;
    const ids = [...new Set(those.map(({ id }) => id))];
    for (const loaded of await lockDesktops(transaction.manager, ids, 'leave out')) {
      for (const { source } of those.filter(({ id }) => id === loaded.row.id)) {
        const decision = decideOn(transaction, loaded, { type, source });
        if (decision.outcome === 'stale') continue;
        await decisions.write(loaded, decision);
        told += 1;
      }
    }
    await decisions.writeRest();
    return told;
  });
}

import { PoolEntity } from '@dormouse/persistence';
import {
  isOver,
  machineStateNames,
  machineStates,
  stormIn,
  stormOfRestart,
  type Storm,
  type StormPolicy,
  type Tally,
} from '@dormouse/session';
import { In, type EntityManager } from 'typeorm';
import { aloneAtIt } from './alone-at-it';
import type { LedgerTransaction } from './ledger-transaction';
import type { Transactions } from './transactions';

/** Those who left a pool lately, and those who are there: of one broker, or of all. */
interface Count {
  readonly poolId: string;
  readonly broker: string | null;
  readonly left: number;
  readonly present: number;
}

export interface StormBegun {
  readonly poolId: string;
  readonly storm: Storm;
}

const liveStates = machineStateNames.filter((state) => machineStates[state].machine === 'live');

/**
 * Looks whether so many have left a pool, or the desktops of a broker, that it is a storm, and forgets those that are over.
 * Nothing is decided here about a desktop: each decision reads the storms of its pool.
 * @returns the storms that have begun
 */
export function watchStorms(transactions: Transactions): Promise<readonly StormBegun[]> {
  return transactions.run(async (transaction) => {
    const { manager } = transaction;
    if (!(await aloneAtIt(transaction, 'storms'))) return [];
    const someLeft = await enoughLeft(transaction);
    const pools = await lockPools(manager, someLeft ? 'all' : 'in a storm');
    const counts = someLeft ? await countAll(transaction, pools) : [];
    const begun: StormBegun[] = [];
    for (const pool of pools) {
      const here = counts.filter(({ poolId, broker, left }) => poolId === pool.id && (broker === null || left > 0));
      const tallies = here.map((count) => tallyOf(count.broker === null ? [count] : ofBroker(counts, count.broker)));
      begun.push(
        ...(await writeStorms(transaction, pool, (policy, known, nowMs) =>
          tallies.reduce<Storm[]>((fresh, tally) => {
            const storm = stormIn(policy, tally, [...known, ...fresh], nowMs);
            return storm === null ? fresh : [...fresh, storm];
          }, []),
        )),
      );
    }
    return begun;
  });
}

/** A broker has begun anew: who is there is not known, and those who seem to leave may be back in a moment. */
export async function brokerStarted(transaction: LedgerTransaction, broker: string): Promise<readonly StormBegun[]> {
  const begun: StormBegun[] = [];
  const { manager } = transaction;
  const counts: { poolId: string; inUse: number }[] = await manager.query(
    `SELECT pool_id AS "poolId", count(*)::int AS "inUse" FROM desktops
     WHERE presence -> 'sources' @> jsonb_build_array(jsonb_build_object('source', $1::text)) AND machine_state = ANY ($2)
     GROUP BY 1`,
    [broker, liveStates],
  );
  for (const pool of await lockPools(
    manager,
    counts.map(({ poolId }) => poolId),
  )) {
    const inUse = counts.find(({ poolId }) => poolId === pool.id)?.inUse ?? 0;
    const storms = await writeStorms(transaction, pool, (policy, known, nowMs) => {
      const storm = stormOfRestart(policy, { broker, left: 0, inUse }, known, nowMs);
      return storm === null ? [] : [storm];
    });
    begun.push(...storms);
  }
  return begun;
}

/** An index answers this: that nobody leaves costs next to nothing, however many sleep. */
async function enoughLeft({ manager, now }: LedgerTransaction): Promise<boolean> {
  const [row]: { enough: boolean | null }[] = await manager.query(
    `SELECT count(*) >= min((p.policy -> 'storm' ->> 'atLeast')::int) AS enough
     FROM desktops d JOIN pools p ON p.id = d.pool_id
     WHERE d.absent_since > $1::timestamptz - interval '10 minutes' AND ${hasLeft} AND p.policy ? 'storm'`,
    [now],
  );
  return row?.enough === true;
}

/** Who has logged off, or lost the desktop, has gone for certain, and where nobody had come nobody has left. */
const hasLeft = `d.absence_cause NOT IN ('logoff', 'unused', 'unassigned', 'deleted')
  AND d.absent_since > $1::timestamptz - (p.policy -> 'storm' ->> 'withinMs')::bigint * interval '1 millisecond'`;

async function lockPools(
  manager: EntityManager,
  which: 'all' | 'in a storm' | readonly string[],
): Promise<readonly PoolEntity[]> {
  const query = manager
    .createQueryBuilder(PoolEntity, 'p')
    .where(`p.policy ? 'storm'`)
    .orderBy('p.id')
    .setLock('pessimistic_write');
  if (which === 'in a storm') query.andWhere(`p.storms <> '[]'`);
  else if (which !== 'all') query.andWhere({ id: In([...which]) });
  return query.getMany();
}

/**
 * Of each pool as a whole, a desktop once, and of each broker: that one has left a desktop whose user it was that went last, and is
 * there where it has somebody. First the whole.
 */
function countAll({ manager, now }: LedgerTransaction, pools: readonly PoolEntity[]): Promise<Count[]> {
  return manager.query(
    `WITH counted AS (
       SELECT d.pool_id, d.presence, ${hasLeft} AS has_left, d.absent_since IS NULL AND d.machine_state = ANY ($3) AS is_used
       FROM desktops d JOIN pools p ON p.id = d.pool_id WHERE d.pool_id = ANY ($2)
     )
     SELECT pool_id AS "poolId", NULL AS broker, count(*) FILTER (WHERE has_left)::int AS left,
       count(*) FILTER (WHERE is_used)::int AS present
     FROM counted GROUP BY 1
     UNION ALL
     SELECT pool_id, part ->> 'source', count(*) FILTER (WHERE has_left AND (part -> 'left' ->> 'sinceMs')::numeric = last_ms)::int,
       count(*) FILTER (WHERE is_used AND part @? '$.connections[*] ? (@.open == true)')::int
     FROM counted, jsonb_array_elements(presence -> 'sources') AS part,
       LATERAL (SELECT max((one -> 'left' ->> 'sinceMs')::numeric) AS last_ms
                FROM jsonb_array_elements(presence -> 'sources') AS one) AS latest
     WHERE has_left OR is_used GROUP BY 1, 2
     ORDER BY broker NULLS FIRST`,
    [now, pools.map(({ id }) => id), liveStates],
  );
}

function ofBroker(counts: readonly Count[], broker: string): readonly Count[] {
  return counts.filter((count) => count.broker === broker);
}

function tallyOf(counts: readonly Count[]): Tally {
  const left = counts.reduce((sum, count) => sum + count.left, 0);
  return { broker: counts[0]!.broker, left, inUse: counts.reduce((sum, count) => sum + count.present, left) };
}

async function writeStorms(
  { manager, now }: LedgerTransaction,
  { id, policy, storms }: PoolEntity,
  begin: (policy: StormPolicy, known: readonly Storm[], nowMs: number) => readonly Storm[],
): Promise<readonly StormBegun[]> {
  const nowMs = now.getTime();
  const known = storms.filter((storm) => !isOver(storm, nowMs));
  const begun = policy.storm === undefined ? [] : begin(policy.storm, known, nowMs);
  if (begun.length > 0 || known.length < storms.length) {
    const kept = JSON.stringify([...known, ...begun]);
    await manager.query('UPDATE pools SET storms = $2 WHERE id = $1', [id, kept]);
  }
  return begun.map((storm) => ({ poolId: id, storm }));
}

import { PoolEntity } from '@dormouse/persistence';
import {
  isOver,
  machineStateNames,
  machineStates,
  stormIn,
  stormOfRestart,
  type Storm,
  type StormPolicy,
} from '@dormouse/session';
import { In, type EntityManager } from 'typeorm';
import { aloneAtIt } from './alone-at-it';
import type { LedgerTransaction, Transactions } from './transactions';

/** Those who left a pool lately, and those who are there, of one broker. */
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
      const here = counts.filter(({ poolId }) => poolId === pool.id);
      const brokers = here.filter(({ left }) => left > 0).map(({ broker }) => broker);
      const tallies = [
        { broker: null, ...sumOf(here) },
        ...brokers.flatMap((broker) =>
          broker === null ? [] : [{ broker, ...sumOf(counts.filter((count) => count.broker === broker)) }],
        ),
      ];
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
     WHERE broker = $1 AND machine_state = ANY ($2) GROUP BY 1`,
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

function countAll({ manager, now }: LedgerTransaction, pools: readonly PoolEntity[]): Promise<Count[]> {
  return manager.query(
    `SELECT d.pool_id AS "poolId", d.broker, count(*) FILTER (WHERE ${hasLeft})::int AS left,
       count(*) FILTER (WHERE d.absent_since IS NULL AND d.machine_state = ANY ($3))::int AS present
     FROM desktops d JOIN pools p ON p.id = d.pool_id WHERE d.pool_id = ANY ($2) GROUP BY 1, 2`,
    [now, pools.map(({ id }) => id), liveStates],
  );
}

function sumOf(counts: readonly Count[]): { left: number; inUse: number } {
  const left = counts.reduce((sum, count) => sum + count.left, 0);
  return { left, inUse: counts.reduce((sum, count) => sum + count.present, left) };
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

import { DormouseError } from '@dormouse/errors';
import { PoolEntity } from '@dormouse/persistence';
import { parsePoolPolicy, type JsonObject } from '@dormouse/session';
import { isIdentifier } from '@dormouse/text';
import type { PoolView } from '@dormouse/views';
import { asPoolView } from './as-view';
import { recordAudit } from './audit';
import { admitWaiting } from './pool-caps';
import { applyPoolChanges } from './pool-changes';
import { sweepRetention } from './retention';
import type { LedgerTransaction } from './ledger-transaction';
import type { Transactions } from './transactions';

export async function putPool(
  transactions: Transactions,
  {
    poolId,
    policy: given,
    actor,
    reason,
  }: { poolId: string; policy: unknown; actor: string; reason: string | undefined },
): Promise<PoolView> {
  if (!isIdentifier(poolId)) {
    throw new DormouseError('REQUEST_INVALID', 'a pool id holds a-z, 0-9 and -, at most 63 characters', { poolId });
  }
  const policy = parsePoolPolicy(given);
  const view = await transactions.run(async (transaction) => {
    const { manager, now } = transaction;
    await manager.query(
      `INSERT INTO pools (id, policy, created_at, updated_at) VALUES ($1, $2, $3, $3)
       ON CONFLICT (id) DO UPDATE SET policy = excluded.policy, updated_at = excluded.updated_at,
         version = pools.version + (pools.policy <> excluded.policy)::int`,
      [poolId, JSON.stringify(policy), now],
    );
    const details = { policy } as unknown as JsonObject;
    await recordAudit(transaction, { actor, action: 'pool.put', target: poolId, reason, outcome: 'accepted', details });
    return poolIn(transaction, poolId);
  });
  await applyPoolChanges(transactions, poolId);
  await admitWaiting(transactions, poolId);
  await sweepRetention(transactions, poolId);
  return view;
}

export function viewPool(transactions: Transactions, poolId: string): Promise<PoolView> {
  return transactions.run((transaction) => poolIn(transaction, poolId));
}

async function poolIn({ manager, now }: LedgerTransaction, poolId: string): Promise<PoolView> {
  const row = await manager.findOneBy(PoolEntity, { id: poolId });
  if (row === null) throw new DormouseError('POOL_UNKNOWN', `there is no pool ${poolId}`, { poolId });
  return asPoolView(row, now);
}

import { createHash, randomBytes } from 'node:crypto';
import { DormouseError } from '@dormouse/errors';
import { ApiKeyEntity, DesktopEntity, OperationEntity, PoolEntity } from '@dormouse/persistence';
import { isDesktopId, isIdentifier } from '@dormouse/text';
import { In, type EntityManager } from 'typeorm';
import type { ApiKeyView } from '@dormouse/views';
import { recordAudit } from './audit';
import type { ApiKeyCommand, RevokeCommand } from './commands';
import { isUuid } from './reading';
import { insertRow } from './rows';
import { takeTurns } from './take-turns';
import type { LedgerTransaction } from './ledger-transaction';
import type { Transactions } from './transactions';

/** The name of the key that the configuration holds: it is in no table, so that it works when nothing else does. */
export const bootstrapKey = 'admin';

/** What is of another shape is nobody's, and not looked for. */
const apiKeyShape = /^dm_[\w-]{43}$/;

const dayMs = 86_400_000;
/** A use is noted when the last note is older than this: a key that is used all day is not a row that is written all day. */
const noteUseEveryMs = 60_000;

/**
 * What is kept of a key. A plain hash, neither salted nor slow: those protect secrets that people choose, and here 256 random
 * bits leave nothing to guess. It is what a key is looked for by, so that how long that takes tells nothing of the key.
 */
export function hashApiKey(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

/** The key itself is in the answer and nowhere else. @throws REQUEST_INVALID, POOL_UNKNOWN, API_KEY_EXISTS */
export function createApiKey(
  transactions: Transactions,
  { name, scope, pools, expiresInDays, reason, actor }: ApiKeyCommand,
): Promise<{ view: ApiKeyView; key: string }> {
  if (!isIdentifier(name) || name === bootstrapKey) {
    const why =
      name === bootstrapKey ? 'is the key of the configuration' : 'may hold a-z, 0-9 and -, at most 63 of them';
    throw new DormouseError('REQUEST_INVALID', `the name ${name} ${why}; choose another`, { name });
  }
  return transactions.run(async (transaction) => {
    const { manager, now } = transaction;
    if (pools !== null) await assertPools(manager, pools);
    const key = `dm_${randomBytes(32).toString('base64url')}`;
    await takeName(manager, name);
    const row = {
      name,
      hash: hashApiKey(key),
      scope,
      pools: pools === null ? null : [...pools],
      createdAt: now,
      createdBy: actor,
      expiresAt: new Date(now.getTime() + expiresInDays * dayMs),
      lastUsedAt: null,
      revokedAt: null,
      revokedBy: null,
    };
    await insertRow(manager, ApiKeyEntity, row);
    const details = { scope, ...(pools !== null && { pools: [...pools] }), expiresAt: row.expiresAt.toISOString() };
    await recordAudit(transaction, {
      actor,
      action: 'api-key.create',
      target: name,
      reason,
      outcome: 'applied',
      details,
    });
    return { view: asApiKeyView(row, now), key };
  });
}

/** At once, in every process: no process remembers keys. Revoked again, it stays as it was. @throws API_KEY_UNKNOWN */
export function revokeApiKey(transactions: Transactions, { name, reason, actor }: RevokeCommand): Promise<ApiKeyView> {
  return transactions.run(async (transaction) => {
    const { manager, now } = transaction;
    const row = await manager.findOne(ApiKeyEntity, { where: { name }, lock: { mode: 'pessimistic_write' } });
    if (row === null) throw new DormouseError('API_KEY_UNKNOWN', `there is no key ${name}`, { name });
    const outcome = row.revokedAt === null ? 'applied' : 'ignored';
    if (row.revokedAt === null) {
      Object.assign(row, { revokedAt: now, revokedBy: actor });
      await manager.update(ApiKeyEntity, { name }, { revokedAt: now, revokedBy: actor });
    }
    await recordAudit(transaction, { actor, action: 'api-key.revoke', target: name, reason, outcome });
    return asApiKeyView(row, now);
  });
}

/** By name, those that are expired or revoked too. */
export function listApiKeys(transactions: Transactions): Promise<readonly ApiKeyView[]> {
  return transactions.run(async ({ manager, now }) => {
    const rows = await manager.find(ApiKeyEntity, { order: { name: 'ASC' } });
    return rows.map((row) => asApiKeyView(row, now));
  });
}

/** Whose key this is, and that it was used; null when it is nobody's. */
export async function useApiKey(transactions: Transactions, key: string): Promise<ApiKeyView | null> {
  if (!apiKeyShape.test(key)) return null;
  return transactions.run(async (transaction) => {
    const row = await transaction.manager.findOneBy(ApiKeyEntity, { hash: hashApiKey(key) });
    if (row === null) return null;
    const view = asApiKeyView(row, transaction.now);
    if (view.state === 'valid') await noteUse(transaction, row);
    return view;
  });
}

/** The pool that a desktop is in, or that an operation happened in, whatever has become of its desktop since; null when there is none. */
export async function poolOf(
  manager: EntityManager,
  { kind, id }: { kind: 'desktop' | 'operation'; id: string },
): Promise<string | null> {
  const isPossible = kind === 'desktop' ? isDesktopId(id) : isUuid(id);
  if (!isPossible) return null; // nothing has such an id, and Postgres takes some of these for an error
  const one = { select: { poolId: true }, where: { id } } as const;
  const row =
    kind === 'desktop' ? await manager.findOne(DesktopEntity, one) : await manager.findOne(OperationEntity, one);
  return row?.poolId ?? null;
}

async function noteUse({ manager, now }: LedgerTransaction, { name, lastUsedAt }: ApiKeyEntity): Promise<void> {
  if (lastUsedAt !== null && now.getTime() - lastUsedAt.getTime() < noteUseEveryMs) return;
  await manager.update(ApiKeyEntity, { name }, { lastUsedAt: now });
}

/** Names are taken for ever. Two who take one at the same moment wait for each other here. */
async function takeName(manager: EntityManager, name: string): Promise<void> {
  await takeTurns({ manager }, `api key ${name}`);
  if (!(await manager.existsBy(ApiKeyEntity, { name }))) return;
  throw new DormouseError(
    'API_KEY_EXISTS',
    `there is or was a key ${name}, and the audit log tells of it under this name; choose another`,
    { name },
  );
}

async function assertPools(manager: EntityManager, pools: readonly string[]): Promise<void> {
  const found = await manager.find(PoolEntity, { select: { id: true }, where: { id: In([...pools]) } });
  const missing = pools.find((pool) => !found.some(({ id }) => id === pool));
  if (missing === undefined) return;
  throw new DormouseError('POOL_UNKNOWN', `there is no pool ${missing}; make it first`, { poolId: missing });
}

function asApiKeyView(row: ApiKeyEntity, now: Date): ApiKeyView {
  const expired = row.expiresAt.getTime() <= now.getTime();
  return {
    name: row.name,
    scope: row.scope,
    pools: row.pools,
    state: row.revokedAt !== null ? 'revoked' : expired ? 'expired' : 'valid',
    createdAt: row.createdAt.toISOString(),
    createdBy: row.createdBy,
    expiresAt: row.expiresAt.toISOString(),
    lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
    revokedAt: row.revokedAt?.toISOString() ?? null,
    revokedBy: row.revokedBy,
  };
}

import { DormouseError } from '@dormouse/errors';
import { CheckpointEntity } from '@dormouse/persistence';
import { reasonsToKeep, type KeepReason } from '@dormouse/session';
import type { EntityManager } from 'typeorm';
import type { KeptCheckpointView, Page } from '@dormouse/views';
import { asKeptCheckpointView } from './as-view';
import { readDesktop, type LoadedDesktop } from './loaded-desktop';
import { isUuid } from './reading';
import { standingsOf } from './retention';
import type { LedgerTransaction } from './ledger-transaction';
import type { Transactions } from './transactions';

/** Newest first, and why each stays. Those whose objects are gone are left out. @throws DESKTOP_UNKNOWN */
export function listCheckpoints(
  transactions: Transactions,
  desktopId: string,
  { cursor = null, limit }: { cursor?: string | null; limit: number },
): Promise<Page<KeptCheckpointView>> {
  return transactions.run(async (transaction) => {
    const { manager } = transaction;
    const loaded = await readDesktop(manager, desktopId);
    const query = manager
      .createQueryBuilder(CheckpointEntity, 'c')
      .where(`c.desktopId = :desktopId AND c.state <> 'deleted'`, { desktopId })
      // Of an earlier desktop of this id nothing is durable any more, and what is left of it is nobody's here to see.
      .andWhere(`(c.state <> 'condemned' OR c.createdAt >= :registered)`, { registered: loaded.row.createdAt })
      .orderBy('c.createdAt', 'DESC')
      .addOrderBy('c.id', 'DESC')
      .take(limit + 1);
    if (cursor !== null) {
      // In the database, whose times are finer than ours: a page must not begin with the last one's end.
      query.andWhere('(c.created_at, c.id) < (SELECT created_at, id FROM checkpoints WHERE id = :cursor)', { cursor });
    }
    const rows = await query.getMany();
    const shown = rows.slice(0, limit);
    const reasons = await reasonsOf(transaction, loaded);
    return {
      items: shown.map((row) => asKeptCheckpointView(row, loaded.row, reasons.get(row.id) ?? [])),
      nextCursor: rows.length > limit ? (shown.at(-1)?.id ?? null) : null,
    };
  });
}

interface Named {
  readonly desktopId: string;
  readonly checkpointId: string;
}

/** Null when it is none of this desktop, or none that is whole and kept. */
export async function findDurable(
  manager: EntityManager,
  { desktopId, checkpointId }: Named,
): Promise<CheckpointEntity | null> {
  if (!isUuid(checkpointId)) return null;
  return manager.findOneBy(CheckpointEntity, { id: checkpointId, desktopId, state: 'durable' });
}

export function unknownCheckpoint({ desktopId, checkpointId }: Named): never {
  throw new DormouseError('CHECKPOINT_UNKNOWN', notKept({ desktopId, checkpointId }), { desktopId, checkpointId });
}

export function notKept({ desktopId, checkpointId }: Named): string {
  return `${desktopId} keeps no checkpoint ${checkpointId}; \`dormouse checkpoint list ${desktopId}\` shows those it keeps`;
}

export async function viewKeptCheckpoint(
  transaction: LedgerTransaction,
  loaded: LoadedDesktop,
  checkpointId: string,
): Promise<KeptCheckpointView> {
  const row = await transaction.manager.findOneByOrFail(CheckpointEntity, { id: checkpointId });
  const reasons = await reasonsOf(transaction, loaded);
  return asKeptCheckpointView(row, loaded.row, reasons.get(row.id) ?? []);
}

async function reasonsOf(
  { manager, now }: LedgerTransaction,
  loaded: LoadedDesktop,
): Promise<ReadonlyMap<string, readonly KeepReason[]>> {
  return reasonsToKeep(await standingsOf(manager, loaded), loaded.pool.policy, now.getTime());
}

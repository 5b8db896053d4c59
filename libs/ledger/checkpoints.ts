import { CheckpointEntity, DesktopEntity } from '@dormouse/persistence';
import { type EntityManager, IsNull, Not } from 'typeorm';
import type { CheckpointView } from '@dormouse/views';
import { asCheckpointView } from './as-view';
import type { CheckpointFacts, Fence } from './commands';
import { condemn } from './condemn';
import { sealDiskGeneration, unsealDiskGeneration } from './disk-generations';
import { ask, lockInForce } from './fenced';
import type { LoadedDesktop } from './loaded-desktop';
import { applyRetention, findCheckpointInUse } from './retention';
import { insertRow, updateRow } from './rows';
import type { LedgerTransaction } from './ledger-transaction';
import type { Transactions } from './transactions';

export function beginCheckpoint(
  transactions: Transactions,
  fence: Fence,
  { id, storagePrefix }: { id: string; storagePrefix: string },
): Promise<boolean> {
  return transactions.run(async (transaction) => {
    const loaded = await lockInForce(transaction, fence);
    if (loaded === null || loaded.operation?.cancelRequestedAt !== null) return false;
    await insertRow(transaction.manager, CheckpointEntity, {
      id,
      desktopId: fence.desktopId,
      state: 'writing',
      storagePrefix,
      createdAt: transaction.now,
    });
    return true;
  });
}

export function commitCheckpoint(transactions: Transactions, fence: Fence, facts: CheckpointFacts): Promise<boolean> {
  return ask(
    transactions,
    fence,
    (generation) => ({ type: 'checkpoint_durable', generation }),
    async (transaction, loaded) => {
      const { row } = loaded;
      if (row.checkpointId === facts.id) return;
      await writeDurable(transaction, row, facts);
      await updateRow(transaction.manager, DesktopEntity, row, { checkpointId: facts.id });
      await applyRetention(transaction, loaded);
    },
  );
}

async function writeDurable(transaction: LedgerTransaction, desktop: DesktopEntity, facts: CheckpointFacts) {
  const { manager, now } = transaction;
  if (facts.diskGeneration !== null) await sealDiskGeneration(transaction, desktop, facts.diskGeneration);
  await manager.query(
    `INSERT INTO checkpoints (id, desktop_id, state, storage_prefix, disk_generation, ram_bytes, stored_bytes, facts,
       created_at, durable_at, parent_id)
     VALUES ($1, $2, 'durable', $3, $4, $5, $6, $7, $8, $8, $9)
     ON CONFLICT (id) DO UPDATE SET state = 'durable', storage_prefix = excluded.storage_prefix,
       disk_generation = excluded.disk_generation, ram_bytes = excluded.ram_bytes,
       stored_bytes = excluded.stored_bytes, facts = excluded.facts, durable_at = excluded.durable_at,
       parent_id = excluded.parent_id`,
    [
      facts.id,
      desktop.id,
      facts.storagePrefix,
      facts.diskGeneration,
      facts.ramBytes,
      facts.storedBytes,
      JSON.stringify(facts.facts),
      now,
      desktop.checkpointId,
    ],
  );
}

/** A restore is over and every page is there: what it woke is the desktop's checkpoint, and proven. */
export async function writeWoken({ manager, now }: LedgerTransaction, loaded: LoadedDesktop): Promise<void> {
  const woken = await findCheckpointInUse(manager, loaded);
  if (woken === null) return;
  await updateRow(manager, CheckpointEntity, woken, { restoredAt: now });
  await updateRow(manager, DesktopEntity, loaded.row, { checkpointId: woken.id });
}

/**
 * A save was called off after its checkpoint was committed: the guest goes on and writes to the disk layer that was to be
 * sealed with it, so the two no longer belong together, pinned or not. The desktop goes back to the checkpoint before, which
 * is not always the next older one: it may have gone back to it.
 */
export async function withdrawCheckpoint(transaction: LedgerTransaction, desktop: DesktopEntity): Promise<void> {
  if (desktop.checkpointId === null) return;
  const { manager } = transaction;
  const { id, parentId } = await manager.findOneByOrFail(CheckpointEntity, { id: desktop.checkpointId });
  await condemn(transaction, { id, state: 'durable' });
  if (desktop.diskGeneration !== null) await unsealDiskGeneration(manager, desktop.diskGeneration);
  const parent =
    parentId === null ? null : await manager.findOneBy(CheckpointEntity, { id: parentId, state: 'durable' });
  await updateRow(manager, DesktopEntity, desktop, { checkpointId: parent?.id ?? null });
}

export async function condemnedCheckpoints(
  manager: EntityManager,
  desktopId: string,
): Promise<readonly CheckpointView[]> {
  const rows = await manager.find(CheckpointEntity, {
    where: { desktopId, state: 'condemned' },
    order: { createdAt: 'ASC' },
  });
  return rows.map(asCheckpointView);
}

/** Disk generations that checkpoints which are kept were sealed with. */
export async function keptGenerations(manager: EntityManager, desktopId: string): Promise<string[]> {
  const rows = await manager.find(CheckpointEntity, {
    select: { diskGeneration: true },
    where: { desktopId, state: 'durable', diskGeneration: Not(IsNull()) },
  });
  return rows.map(({ diskGeneration }) => diskGeneration!);
}

export async function markCheckpointDeleted(manager: EntityManager, checkpointId: string): Promise<void> {
  await manager.update(CheckpointEntity, { id: checkpointId, state: 'condemned' }, { state: 'deleted' });
}

import { CheckpointEntity, DesktopEntity } from '@dormouse/persistence';
import { type EntityManager, type FindOptionsWhere, In, IsNull, Not } from 'typeorm';
import { asCheckpointView } from './as-view';
import type { CheckpointFacts, Fence } from './commands';
import { sealDiskGeneration, unsealDiskGeneration } from './disk-generations';
import { ask, lockInForce } from './fenced';
import { insertRow, updateRow } from './rows';
import type { LedgerTransaction, Transactions } from './transactions';
import type { CheckpointView } from './views';

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
    async (transaction, { row, policy }) => {
      if (row.checkpointId === facts.id) return;
      await writeDurable(transaction, row, facts);
      await updateRow(transaction.manager, DesktopEntity, row, { checkpointId: facts.id });
      await condemnOlder(transaction, row.id, policy.keepCheckpoints);
    },
  );
}

async function writeDurable(transaction: LedgerTransaction, desktop: DesktopEntity, facts: CheckpointFacts) {
  const { manager, now } = transaction;
  if (facts.diskGeneration !== null) await sealDiskGeneration(transaction, desktop, facts.diskGeneration);
  await manager.query(
    `INSERT INTO checkpoints (id, desktop_id, state, storage_prefix, disk_generation, ram_bytes, stored_bytes, facts,
       created_at, durable_at)
     VALUES ($1, $2, 'durable', $3, $4, $5, $6, $7, $8, $8)
     ON CONFLICT (id) DO UPDATE SET state = 'durable', storage_prefix = excluded.storage_prefix,
       disk_generation = excluded.disk_generation, ram_bytes = excluded.ram_bytes,
       stored_bytes = excluded.stored_bytes, facts = excluded.facts, durable_at = excluded.durable_at`,
    [
      facts.id,
      desktop.id,
      facts.storagePrefix,
      facts.diskGeneration,
      facts.ramBytes,
      facts.storedBytes,
      JSON.stringify(facts.facts),
      now,
    ],
  );
}

async function condemnOlder({ manager, now }: LedgerTransaction, desktopId: string, keep: number): Promise<void> {
  await manager.query(
    `UPDATE checkpoints SET state = 'condemned', condemned_at = $3 WHERE id IN (
       SELECT id FROM checkpoints WHERE desktop_id = $1 AND state = 'durable' ORDER BY durable_at DESC, id OFFSET $2)`,
    [desktopId, keep, now],
  );
}

/** Every way out begins here: whoever removes the objects counts from `condemnedAt`. */
async function condemn(
  { manager, now }: LedgerTransaction,
  which: FindOptionsWhere<CheckpointEntity> & { state: unknown },
): Promise<void> {
  await manager.update(CheckpointEntity, which, { state: 'condemned', condemnedAt: now });
}

/**
 * A save was called off after its checkpoint was committed: the guest goes on and writes to the disk layer that was to be
 * sealed with it, so the two no longer belong together. The desktop goes back to the checkpoint before.
 */
export async function withdrawCheckpoint(transaction: LedgerTransaction, desktop: DesktopEntity): Promise<void> {
  if (desktop.checkpointId === null) return;
  const { manager } = transaction;
  await condemn(transaction, { id: desktop.checkpointId, state: 'durable' });
  if (desktop.diskGeneration !== null) await unsealDiskGeneration(manager, desktop.diskGeneration);
  const previous = await manager.findOne(CheckpointEntity, {
    where: { desktopId: desktop.id, state: 'durable' },
    order: { durableAt: 'DESC' },
  });
  await updateRow(manager, DesktopEntity, desktop, { checkpointId: previous?.id ?? null });
}

/** An operation has ended: what it was still writing will never be finished. */
export function condemnUnfinished(transaction: LedgerTransaction, desktopId: string): Promise<void> {
  return condemn(transaction, { desktopId, state: 'writing' });
}

/** The desktop is deleted: nobody will wake from these again. */
export function condemnAll(transaction: LedgerTransaction, desktopId: string): Promise<void> {
  return condemn(transaction, { desktopId, state: In(['writing', 'durable']) });
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

import { CheckpointEntity } from '@dormouse/persistence';
import type { KeptCheckpointView } from '@dormouse/views';
import { recordAudit } from './audit';
import type { PinCommand } from './commands';
import { findDurable, unknownCheckpoint, viewKeptCheckpoint } from './kept-checkpoints';
import { lockKnownDesktop } from './loaded-desktop';
import { applyRetention } from './retention';
import { updateRow } from './rows';
import type { Transactions } from './transactions';

/** Pinned again, it has the newer reason. */
export function pinCheckpoint(transactions: Transactions, command: PinCommand): Promise<KeptCheckpointView> {
  const { desktopId, checkpointId, reason, actor } = command;
  return transactions.run(async (transaction) => {
    const { manager, now } = transaction;
    const loaded = await lockKnownDesktop(manager, desktopId);
    const row = (await findDurable(manager, command)) ?? unknownCheckpoint(command);
    await updateRow(manager, CheckpointEntity, row, { pinnedAt: now, pinnedBy: actor, pinReason: reason });
    const details = { checkpointId };
    await recordAudit(transaction, {
      actor,
      action: 'checkpoint.pin',
      target: desktopId,
      reason,
      outcome: 'applied',
      details,
    });
    return viewKeptCheckpoint(transaction, loaded, row.id);
  });
}

/** Without its pin the checkpoint may have nothing that keeps it; then it is condemned at once. */
export function unpinCheckpoint(transactions: Transactions, command: PinCommand): Promise<KeptCheckpointView> {
  const { desktopId, checkpointId, reason, actor } = command;
  return transactions.run(async (transaction) => {
    const { manager } = transaction;
    const loaded = await lockKnownDesktop(manager, desktopId);
    const row = (await findDurable(manager, command)) ?? unknownCheckpoint(command);
    const outcome = row.pinnedAt === null ? 'ignored' : 'applied';
    await updateRow(manager, CheckpointEntity, row, { pinnedAt: null, pinnedBy: null, pinReason: null });
    const details = { checkpointId };
    await recordAudit(transaction, { actor, action: 'checkpoint.unpin', target: desktopId, reason, outcome, details });
    await applyRetention(transaction, loaded);
    return viewKeptCheckpoint(transaction, loaded, row.id);
  });
}

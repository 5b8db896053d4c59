import { DormouseError } from '@dormouse/errors';
import { DesktopEntity, DiskGenerationEntity } from '@dormouse/persistence';
import { machineStates } from '@dormouse/session';
import { recordAudit } from './audit';
import { condemnAll } from './condemn';
import { shredKey } from './data-keys';
import { lockKnownDesktop } from './loaded-desktop';
import { forgetJob } from './outbox';
import type { Transactions } from './transactions';

export function deleteDesktop(
  transactions: Transactions,
  { desktopId, actor, reason }: { desktopId: string; actor: string; reason: string | undefined },
): Promise<void> {
  return transactions.run(async (transaction) => {
    const { manager } = transaction;
    const { row } = await lockKnownDesktop(manager, desktopId);
    const { held, machine } = machineStates[row.machineState];
    if (held !== 'never' || machine !== 'absent') {
      throw new DormouseError('DESKTOP_BUSY', `the desktop is ${row.machineState}; stop it first`, { desktopId });
    }
    await condemnAll(transaction, desktopId);
    await manager.delete(DiskGenerationEntity, { desktopId });
    await shredKey(manager, desktopId);
    await manager.delete(DesktopEntity, { id: desktopId });
    if (row.hostId !== null) {
      forgetJob(transaction, { desktopId, generation: row.generation, hostId: row.hostId });
    }
    await recordAudit(transaction, { actor, action: 'desktop.delete', target: desktopId, reason, outcome: 'accepted' });
  });
}

import type { RecordedError } from '@dormouse/session';
import type { Fence } from './commands';
import { decideAndWrite } from './decide-and-write';
import { lockDesktop } from './loaded-desktop';
import { withMachine } from './placing';
import type { Transactions } from './transactions';
import { beginRelease, finish } from './worker-reports';

/**
 * A host is dead, an operator vouches for it: no machine of it lives. Whatever was under way there has failed, and its desktops are
 * without a machine; each by itself. Killed in between, the next sweep goes on: what is left still has a machine on a
 * host that is fenced.
 * @returns how many desktops
 */
export async function hostFenced(transactions: Transactions, hostId: string): Promise<readonly string[]> {
  const desktopIds = await transactions.run(async ({ manager }) => {
    const rows: { id: string }[] = await manager.query(
      `SELECT id FROM desktops WHERE host_id = $1 AND ${withMachine} AND NOT (machine_state IN ('booting', 'restoring')
         AND EXISTS (SELECT 1 FROM operations WHERE desktop_id = desktops.id AND status = 'pending'))
       UNION SELECT desktop_id FROM operations WHERE host_id = $1 AND status = 'active'`,
      [hostId],
    );
    return rows.map(({ id }) => id);
  });
  for (const desktopId of desktopIds) await giveUp(transactions, desktopId, hostId);
  return desktopIds;
}

async function giveUp(transactions: Transactions, desktopId: string, hostId: string): Promise<void> {
  const held = await transactions.run(async (transaction) => {
    const loaded = await lockDesktop(transaction.manager, desktopId);
    if (loaded?.operation?.hostId !== hostId) return null;
    const { generation } = loaded.operation;
    // A save that waits can only fail when it has begun.
    if (loaded.row.machineState === 'queued')
      await decideAndWrite(transaction, loaded, { type: 'claimed', generation });
    const { operation, row } = loaded;
    if (operation === null) return null;
    const fence: Fence = { desktopId, operationId: operation.id, generation, attempt: operation.attempt };
    return { fence, durable: row.machineState === 'resident' };
  });
  if (held !== null) {
    // A machine that stood still behind a durable checkpoint has only done what its release would have done.
    const released = held.durable && (await beginRelease(transactions, held.fence));
    await finish(
      transactions,
      held.fence,
      released ? { status: 'succeeded' } : { status: 'failed', error: hostLost(hostId) },
    );
  }
  await transactions.run(async (transaction) => {
    const loaded = await lockDesktop(transaction.manager, desktopId);
    if (loaded?.row.hostId !== hostId) return;
    await decideAndWrite(transaction, loaded, { type: 'machine_observed', observed: 'absent' });
  });
}

/** To a save its machine is gone: with this code the desktop is off, and not taken for one that runs on. */
function hostLost(hostId: string): RecordedError {
  return { code: 'MACHINE_GONE', message: `its host ${hostId} was fenced`, details: { hostId } };
}

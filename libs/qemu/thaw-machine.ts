import { setTimeout as sleep } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import type { QmpClient } from './qmp-client';

/** States of QEMU's migration in which it is still on its way. */
const migrating = new Set(['setup', 'active', 'pre-switchover', 'device', 'cancelling', 'wait-unplug']);
const patienceMs = 5_000;

/**
 * Brings a machine back to running from wherever a save left it: cancels a migration on its way, continues a guest that
 * is stopped. Does nothing to one that runs.
 * @throws MIGRATION_FAILED when the guest does not run in the end
 */
export async function thawMachine(qmp: QmpClient): Promise<void> {
  const deadline = Date.now() + patienceMs;
  let cancelled = false;
  while (Date.now() < deadline) {
    const { status: migration } = await qmp.execute<{ status?: string }>('query-migrate');
    if (migration !== undefined && migrating.has(migration)) {
      if (!cancelled) await qmp.execute('migrate_cancel');
      cancelled = true;
      await sleep(2);
      continue;
    }
    const { status, running } = await qmp.execute<{ status: string; running: boolean }>('query-status');
    if (running) return;
    // A cancelled migration resumes the guest by itself, a moment after it says that it is cancelled.
    if (status === 'finish-migrate') await sleep(2);
    else await qmp.execute('cont');
  }
  throw new DormouseError('MIGRATION_FAILED', 'the guest could not be brought back to running after its save ended');
}

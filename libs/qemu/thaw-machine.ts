import { setTimeout as sleep } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import type { QmpClient } from './qmp-client';

/** States of QEMU's migration in which it is still on its way. */
const migrating = new Set(['setup', 'active', 'pre-switchover', 'device', 'cancelling', 'wait-unplug']);
/** Whether its migration is on its way, which the next would be refused for. */
export function isMigrating(status: string | undefined): boolean {
  return status !== undefined && migrating.has(status);
}

/** So long one that switches over is given to end by itself. */
const switchoverMs = 1_000;
const patienceMs = 5_000;
/** Why a guest stands still by itself. */
const ownStops: ReadonlySet<string> = new Set([
  'io-error',
  'suspended',
  'guest-panicked',
  'internal-error',
  'watchdog',
]);

export interface ThawOptions {
  /** `migrate-continue` was sent: QEMU may be about to let go of the disks. */
  readonly switchesOver?: boolean;
  /** Somebody had stopped it before: it stands still again in the end. */
  readonly staysPaused?: boolean;
}

/**
 * Brings a machine back to running from wherever a save left it: cancels a migration on its way, continues a guest that
 * is stopped. One that runs goes on.
 *
 * A migration that switches over ends by itself, soon. To call it off then is a race that QEMU 7.2 can lose: the guest runs on, but
 * its disks are still given away, and QEMU aborts when it next writes or is saved (docs/qemu.md). `cont` takes them back,
 * also from a guest that runs. A guest that has shut down stays so.
 * @throws MIGRATION_FAILED when the guest does not run in the end
 */
export async function thawMachine(
  qmp: QmpClient,
  { switchesOver = false, staysPaused = false }: ThawOptions = {},
): Promise<void> {
  const endsBy = performance.now() + switchoverMs;
  const deadline = performance.now() + patienceMs;
  let cancelled = false;
  let continued = false;
  while (performance.now() < deadline) {
    const { status: migration } = await qmp.execute<{ status?: string }>('query-migrate');
    if (isMigrating(migration)) {
      const isSwitching = migration === 'device' || (switchesOver && migration === 'pre-switchover');
      if (!cancelled && !(isSwitching && performance.now() < endsBy)) {
        await qmp.execute('migrate_cancel');
        cancelled = true;
      }
      await sleep(2);
      continue;
    }
    const { status, running } = await qmp.execute<{ status: string; running: boolean }>('query-status');
    if (running && continued) {
      if (staysPaused) await qmp.execute('stop');
      return;
    }
    if (status === 'paused' && staysPaused) return;
    if (ownStops.has(status)) return; // not the save has stopped it
    // A migration that ends without success resumes the guest by itself, a moment after it says so.
    if (status === 'finish-migrate') {
      await sleep(2);
      continue;
    }
    await qmp.execute('cont');
    continued = true;
  }
  throw new DormouseError('MIGRATION_FAILED', 'the guest could not be brought back to running after its save ended');
}

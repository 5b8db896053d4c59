import { setTimeout as sleep } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import type { QmpClient } from '@dormouse/qemu';

/** A guest that was suspended runs a moment after it is told to. */
const wakePatienceMs = 10_000;
const lookEveryMs = 20;

/** Has a guest go on that is suspended, or that a disk has stopped; nothing happens to others. */
export async function rouse(qmp: QmpClient): Promise<void> {
  const status = await statusOf(qmp);
  if (status === 'suspended') await qmp.execute('system_wakeup');
  if (status === 'io-error') await qmp.execute('cont');
}

/**
 * A guest that has suspended itself is woken before it is saved: QEMU before 9.0 lets it run on at the other end without having been woken, and it
 * hangs.
 * @throws GUEST_STOPPED when it does not wake
 */
export async function awakened(qmp: QmpClient): Promise<void> {
  if ((await statusOf(qmp)) !== 'suspended') return;
  await qmp.execute('system_wakeup');
  for (const deadline = performance.now() + wakePatienceMs; performance.now() < deadline; await sleep(lookEveryMs)) {
    if ((await statusOf(qmp)) !== 'suspended') return;
  }
  throw new DormouseError('GUEST_STOPPED', 'the guest has suspended itself and does not wake');
}

async function statusOf(qmp: QmpClient): Promise<string> {
  return (await qmp.execute<{ status: string }>('query-status')).status;
}

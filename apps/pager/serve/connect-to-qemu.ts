import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import { connectToSocket } from '@dormouse/process';

/** QEMU and the pager start together; how long the one waits for the other. */
const qemuPatienceMs = 20_000;
/** A socket that is there and refuses is about to be listened at, or was left by a QEMU that is gone. */
const refusedPatienceMs = 250;

/**
 * The way to a QEMU that listens for its memory, or soon will.
 * @throws MIGRATION_FAILED when it does not
 */
export async function connectToQemu(path: string): Promise<Socket> {
  const deadline = performance.now() + qemuPatienceMs;
  let refusedSince: number | null = null;
  for (;;) {
    const attempt = await tryToConnect(path);
    if (attempt instanceof Socket) return attempt;
    const now = performance.now();
    refusedSince = attempt === 'ECONNREFUSED' ? (refusedSince ?? now) : null;
    if (refusedSince !== null && now - refusedSince > refusedPatienceMs) {
      throw new DormouseError('MIGRATION_FAILED', 'QEMU ended before its memory came');
    }
    if (now >= deadline) throw new DormouseError('MIGRATION_FAILED', 'QEMU never listened for its memory');
    await sleep(2);
  }
}

/** @returns the code of the error when there is nobody to connect to, or nobody yet */
function tryToConnect(path: string): Promise<Socket | string | undefined> {
  return new Promise((resolve) => {
    const attempt = connectToSocket(path);
    attempt.once('connect', () => {
      attempt.removeAllListeners('error');
      resolve(attempt);
    });
    attempt.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code));
  });
}

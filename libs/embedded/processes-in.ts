import { readdirSync, readlinkSync, realpathSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';

const patienceMs = 10_000;

/** Ids of the processes whose working directory this is: a service's, those it has forked, those it left behind. */
export function processesIn(directory: string): number[] {
  const path = realpathSync(directory);
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && workingDirectoryOf(pid) === path);
}

/**
 * Waits for what a dead owner left behind to end. A service outlives a killed owner by some milliseconds, and must not
 * meet its successor.
 * @throws DATA_DIRECTORY_IN_USE when some are still there after ten seconds.
 */
export async function untilNoProcessIn(directory: string): Promise<void> {
  const deadline = performance.now() + patienceMs;
  for (let pids = processesIn(directory); pids.length > 0; pids = processesIn(directory)) {
    if (performance.now() >= deadline) {
      const message = `process ${pids.join(', ')} of an earlier run still works in ${directory}: end it and start again`;
      throw new DormouseError('DATA_DIRECTORY_IN_USE', message, { directory, pids: pids.map(String) });
    }
    await sleep(20);
  }
}

function workingDirectoryOf(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return null; // ended meanwhile, or another user's: not ours in any case
  }
}

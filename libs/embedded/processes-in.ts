import { setTimeout as sleep } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import { processesIn } from '@dormouse/process';

export { processesIn };

const patienceMs = 10_000;

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

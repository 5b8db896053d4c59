import { setTimeout as sleep } from 'node:timers/promises';
import { DormouseError, isDormouseError } from '@dormouse/errors';
import { isProcessAlive, type DetachedCommand, type ProgramStarter } from '@dormouse/process';
import { QmpClient, socketNames } from '@dormouse/qemu';
import type { RunDirectory } from './run-directory';

/** QEMU opens its control socket within a tenth of a second; an overloaded host may take long. */
const startPatienceMs = 30_000;

/**
 * Starts QEMU detached in its run directory and connects to it.
 * @throws MACHINE_START_FAILED with what QEMU said, DEPENDENCY_MISSING
 */
export async function startQemu(
  starter: ProgramStarter,
  directory: RunDirectory,
  command: Pick<DetachedCommand, 'program' | 'args' | 'pipes'>,
): Promise<QmpClient> {
  const identity = await starter.start({ ...command, cwd: directory.path, logFile: directory.file('qemu.log') });
  await directory.recordProcess('qemu', identity);
  const deadline = performance.now() + startPatienceMs;
  for (;;) {
    try {
      return await QmpClient.connect(directory.socket(socketNames.control));
    } catch (error) {
      if (!isDormouseError(error, 'QMP_DISCONNECTED')) throw error;
    }
    if (!isProcessAlive(identity)) {
      throw new DormouseError('MACHINE_START_FAILED', `QEMU ended at once: ${await directory.logTail('qemu.log')}`);
    }
    if (performance.now() >= deadline)
      throw new DormouseError('MACHINE_START_FAILED', 'QEMU did not open its control socket');
    await sleep(3);
  }
}

/** Connects to a machine that runs. @throws MACHINE_GONE */
export async function connectQemu(directory: RunDirectory): Promise<QmpClient> {
  if ((await directory.liveProcess('qemu')) === null) throw gone(directory.desktopId);
  try {
    return await QmpClient.connect(directory.socket(socketNames.control));
  } catch (error) {
    if ((await directory.liveProcess('qemu')) === null) throw gone(directory.desktopId);
    throw error;
  }
}

/** Connects, does, and lets go again: QEMU's control socket serves one client at a time. */
export async function withQemu<T>(directory: RunDirectory, work: (qmp: QmpClient) => Promise<T>): Promise<T> {
  const qmp = await connectQemu(directory);
  try {
    return await work(qmp);
  } finally {
    qmp.close();
  }
}

function gone(desktopId: string): DormouseError {
  return new DormouseError('MACHINE_GONE', `the machine of ${desktopId} is not running on this host`, { desktopId });
}

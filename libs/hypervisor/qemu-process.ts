import { setTimeout as sleep } from 'node:timers/promises';
import { DormouseError, isDormouseError } from '@dormouse/errors';
import { limits, timedOut } from '@dormouse/limits';
import {
  isProcessAlive,
  stopProcess,
  type DetachedCommand,
  type ProcessIdentity,
  type ProgramStarter,
} from '@dormouse/process';
import { QmpClient, socketNames } from '@dormouse/qemu';
import type { RunDirectory } from './run-directory';

/**
 * Starts QEMU detached in its run directory and connects to it.
 * @throws MACHINE_START_FAILED with what QEMU said, DEPENDENCY_MISSING
 */
export async function startQemu(
  starter: ProgramStarter,
  directory: RunDirectory,
  command: Pick<DetachedCommand, 'program' | 'args' | 'pipes'>,
): Promise<QmpClient> {
  const identity = await starter.start({
    ...command,
    cwd: directory.path,
    logFile: directory.file('qemu.log'),
    recordFile: directory.recordFile('qemu'),
  });
  try {
    return await untilItListens(directory, identity);
  } catch (error) {
    await stopProcess(identity, { signal: 'SIGKILL' });
    throw error;
  }
}

async function untilItListens(directory: RunDirectory, identity: ProcessIdentity): Promise<QmpClient> {
  const deadline = performance.now() + limits.qemuStart.ms;
  for (;;) {
    try {
      return await QmpClient.connect(directory.socket(socketNames.control), 'qemuStart');
    } catch (error) {
      if (!isDormouseError(error, 'QMP_DISCONNECTED')) throw error;
    }
    if (!isProcessAlive(identity)) {
      throw new DormouseError('MACHINE_START_FAILED', `QEMU ended at once: ${await directory.logTail('qemu.log')}`);
    }
    if (performance.now() >= deadline) throw timedOut('qemuStart');
    await sleep(3);
  }
}

/**
 * Connects to a machine that runs. Where somebody else has its control socket, and hangs, by the one that is kept for that.
 * @throws MACHINE_GONE, MACHINE_SILENT
 */
export async function connectQemu(directory: RunDirectory): Promise<QmpClient> {
  if ((await directory.liveProcess('qemu')) === null) throw gone(directory.desktopId);
  try {
    return await QmpClient.connect(directory.socket(socketNames.control));
  } catch (error) {
    if ((await directory.liveProcess('qemu')) === null) throw gone(directory.desktopId);
    if (!isDormouseError(error, 'MACHINE_SILENT')) throw error;
    return await QmpClient.connect(directory.socket(socketNames.guard)).catch(() => Promise.reject(error));
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

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

export interface StartedQemu {
  readonly qmp: QmpClient;
  readonly identity: ProcessIdentity;
}

/**
 * Starts QEMU detached in its run directory and connects to it.
 * @throws MACHINE_START_FAILED with what QEMU said, DEPENDENCY_MISSING
 */
export async function startQemu(
  starter: ProgramStarter,
  directory: RunDirectory,
  command: Pick<DetachedCommand, 'program' | 'args' | 'pipes' | 'user'>,
): Promise<StartedQemu> {
  const identity = await starter.start({
    ...command,
    cwd: directory.path,
    logFile: directory.file('qemu.log'),
    recordFile: directory.recordFile('qemu'),
  });
  try {
    return { qmp: await untilItListens(directory, identity), identity };
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
 * Connects to the machine that runs, and to no other: one that lives once there is a connection was the only one of the directory until then.
 * Where somebody else has its control socket, and hangs, by the one that is kept for that.
 * @param seen left out, the one that runs now
 * @throws MACHINE_GONE, MACHINE_SILENT
 */
export async function connectQemu(directory: RunDirectory, seen?: ProcessIdentity | null): Promise<QmpClient> {
  const qemu = seen === undefined ? await directory.liveProcess('qemu') : seen;
  if (qemu === null) throw gone(directory.desktopId);
  let qmp: QmpClient;
  try {
    qmp = await QmpClient.connect(directory.socket(socketNames.control));
  } catch (error) {
    if (!isProcessAlive(qemu)) throw gone(directory.desktopId);
    if (!isDormouseError(error, 'MACHINE_SILENT')) throw error;
    qmp = await QmpClient.connect(directory.socket(socketNames.guard)).catch(() => Promise.reject(error));
  }
  if (isProcessAlive(qemu)) return qmp;
  qmp.close();
  throw gone(directory.desktopId);
}

/** Connects, does, and lets go again: QEMU's control socket serves one client at a time. */
export async function withQemu<T>(
  directory: RunDirectory,
  work: (qmp: QmpClient) => Promise<T>,
  seen?: ProcessIdentity | null,
): Promise<T> {
  const qmp = await connectQemu(directory, seen);
  try {
    return await work(qmp);
  } finally {
    qmp.close();
  }
}

export function gone(desktopId: string): DormouseError {
  return new DormouseError('MACHINE_GONE', `the machine of ${desktopId} is not running on this host`, { desktopId });
}

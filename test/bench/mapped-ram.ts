import { setTimeout as sleep } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import { QmpClient, socketNames } from '@dormouse/qemu';
import { runProgram } from '../debian';
import { qemuBinaries } from '../qemu';
import type { OwnStream } from '../scenario';
import { besideDormouse, soon, type MachineBeside, type RunningBeside } from '../scenario/machine-beside';

/** The first QEMU that has mapped-ram files. */
const oldestMajor = 9;
const lookEveryMs = 5;

/** Of the QEMUs that tests run on, one that writes and reads mapped-ram files; null when there is none. */
export async function mappedRamQemu(): Promise<string | null> {
  for (const qemu of qemuBinaries()) {
    const said = (await runProgram(qemu, ['--version'])).toString();
    if (Number(/version (\d+)\./.exec(said)?.[1] ?? 0) >= oldestMajor) return qemu;
  }
  return null;
}

/** Writes a machine's state, as it is in QEMU's stream, into a mapped-ram file: every page at a place of its own. */
export function writeMappedRam(machine: MachineBeside, stream: OwnStream, file: string): Promise<void> {
  const incoming = `exec:cat '${stream.file}'`;
  return besideDormouse({ ...machine, incoming, paused: true }, (running) =>
    withMonitor(running, async (qmp) => {
      await until(qmp, 'query-status', 'paused');
      await useMappedRam(qmp);
      await qmp.execute('migrate-set-parameters', { 'max-bandwidth': 2 ** 40 });
      await qmp.execute('migrate', { uri: `file:${file}` });
      await until(qmp, 'query-migrate', 'completed');
    }),
  );
}

/** Has a machine that waits for its memory (`-incoming defer`) read it from such a file, and run. */
export function runFromMappedRam(running: RunningBeside, file: string): Promise<void> {
  return withMonitor(running, async (qmp) => {
    await useMappedRam(qmp);
    await qmp.execute('migrate-incoming', { uri: `file:${file}` });
    await until(qmp, 'query-status', 'paused'); // as it was when it was written
    await qmp.execute('cont');
  });
}

function useMappedRam(qmp: QmpClient): Promise<unknown> {
  return qmp.execute('migrate-set-capabilities', { capabilities: [{ capability: 'mapped-ram', state: true }] });
}

async function withMonitor(running: RunningBeside, work: (qmp: QmpClient) => Promise<void>): Promise<void> {
  const qmp = await soon(() => QmpClient.connect(running.directory.socket(socketNames.monitor)));
  try {
    await work(qmp);
  } finally {
    qmp.close();
  }
}

/** @throws MIGRATION_FAILED */
async function until(qmp: QmpClient, query: 'query-status' | 'query-migrate', wanted: string): Promise<void> {
  for (;;) {
    const { status } = await qmp.execute<{ status?: string }>(query);
    if (status === wanted) return;
    if (status === 'failed') throw new DormouseError('MIGRATION_FAILED', 'QEMU could not use a mapped-ram file');
    await sleep(lookEveryMs);
  }
}

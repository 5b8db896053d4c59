import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RunDirectory } from '@dormouse/hypervisor';
import { GuestClient } from '../guest';
import type { RunningDormouse } from './running-dormouse';

/** Where a host keeps what is its own: run directories, mostly. */
function directoryOf({ dataDir }: RunningDormouse, hostId: string): string {
  return join(dataDir, 'hosts', hostId);
}

/** Starts a worker as on another machine, or one more on such a machine: the same services, storage, keys and disks. */
export async function startWorkerOf(dormouse: RunningDormouse, hostId: string): Promise<void> {
  const { dataDir } = dormouse;
  const { databaseUrl, redisUrl } = await dormouse.services();
  const directory = directoryOf(dormouse, hostId);
  await mkdir(directory, { recursive: true });
  await startWorker(dormouse, hostId, {
    PATH: process.env['PATH'],
    HOST_ID: hostId,
    DATA_DIR: directory,
    DATABASE_URL: databaseUrl,
    REDIS_URL: redisUrl,
    STORAGE_URL: `file://${join(dataDir, 'storage')}`,
    DISKS_DIR: join(dataDir, 'disks'),
    KEY_URL: `file://${join(dataDir, 'keys', 'master.json')}`,
    LOG_FORMAT: 'json',
  });
}

/** Starts one more worker of the very host that the first one of a Dormouse serves. */
export async function startWorkerBeside(dormouse: RunningDormouse): Promise<void> {
  const environ = await readFile(`/proc/${await dormouse.workerPid()}/environ`, 'utf8');
  const settings = environ.split('\0').map((entry) => entry.split(/=(.*)/s).slice(0, 2) as [string, string]);
  const { NODE_CHANNEL_FD: _, ...env } = Object.fromEntries(settings.filter(([name]) => name !== ''));
  await startWorker(dormouse, 'beside', { ...env, METRICS_PORT: '0' });
}

async function startWorker(
  { dataDir }: RunningDormouse,
  name: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<void> {
  const log = createWriteStream(join(dataDir, `${name}.log`), { flags: 'a' });
  const worker = spawn(process.execPath, [join(process.cwd(), 'dist/apps/worker/main.js')], {
    env,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  worker.stdout!.pipe(log);
  worker.stderr!.pipe(log);
  await once(worker, 'message'); // it is ready
}

/** A line into a desktop's guest on another host, once it answers. */
export async function guestOn(dormouse: RunningDormouse, hostId: string, desktopId: string): Promise<GuestClient> {
  const run = new RunDirectory(join(directoryOf(dormouse, hostId), 'run'), desktopId);
  const guest = await GuestClient.connect(run.file('probe.sock'));
  await guest.ping({ timeoutMs: 60_000 });
  return guest;
}

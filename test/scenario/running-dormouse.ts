import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiClient, findApi } from '@dormouse/api-client';
import { loadConfig, loadKeys, readApiAddress, type Environment, type Keys } from '@dormouse/config';
import { DormouseError } from '@dormouse/errors';
import { environmentOf, processesOf } from './processes';

const startPatienceMs = 120_000;
export const launcherProgram = join(process.cwd(), 'dist', 'apps', 'launcher', 'main.js');

/** Dormouse as `npm start` runs it: api and worker with embedded services, in a data directory of its own. */
export class RunningDormouse {
  private constructor(
    readonly dataDir: string,
    readonly api: ApiClient,
    readonly keys: Keys,
    readonly url: string,
    readonly environment: Environment,
    private readonly process: ChildProcess,
  ) {}

  /** @throws SERVICE_UNAVAILABLE naming the log when it does not come up */
  static async start(dataDir: string, environment: Environment = process.env): Promise<RunningDormouse> {
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    const logFile = join(dataDir, 'dormouse.log');
    const log = createWriteStream(logFile, { flags: 'a' });
    const child = spawn(process.execPath, ['--enable-source-maps', launcherProgram], {
      env: { ...environment, DATA_DIR: dataDir, LOG_FORMAT: 'json' },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'], // the channel tells it when we are gone
    });
    child.stdout!.pipe(log, { end: false });
    child.stderr!.pipe(log, { end: false });
    const deadline = Date.now() + startPatienceMs;
    const config = loadConfig({ ...environment, DATA_DIR: dataDir });
    while ((await readApiAddress(dataDir)) === null || !(await hasHost(dataDir, config))) {
      if (child.exitCode !== null || Date.now() > deadline) {
        child.kill('SIGKILL');
        throw new DormouseError('SERVICE_UNAVAILABLE', `Dormouse did not start; ${logFile} says why`);
      }
      await sleep(50);
    }
    const keys = await loadKeys(config);
    const url = await findApi(config);
    return new RunningDormouse(dataDir, new ApiClient({ url, adminKey: keys.adminKey }), keys, url, environment, child);
  }

  /** Ends it as Ctrl-C does; resolves with its exit code when all of it is gone. */
  async stop(): Promise<number | null> {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      const ended = once(this.process, 'exit');
      this.process.kill('SIGINT');
      await ended;
    }
    return this.process.exitCode;
  }

  /** Until it goes on, nothing that ends is started again. */
  haltLauncher(): void {
    this.process.kill('SIGSTOP');
  }

  continueLauncher(): void {
    this.process.kill('SIGCONT');
  }

  /** The process of its worker, as soon as there is one. */
  async workerPid(): Promise<number> {
    for (;;) {
      const found = (await processesOf(this.dataDir)).find(({ command }) => command.includes('apps/worker/main.js'));
      if (found !== undefined) return found.pid;
      await sleep(50);
    }
  }

  /** Where its Postgres and its Redis are. */
  async services(): Promise<{ databaseUrl: string; redisUrl: string }> {
    const worker = await this.workerPid();
    return {
      databaseUrl: await environmentOf(worker, 'DATABASE_URL'),
      redisUrl: await environmentOf(worker, 'REDIS_URL'),
    };
  }
}

async function hasHost(dataDir: string, config: ReturnType<typeof loadConfig>): Promise<boolean> {
  const address = await readApiAddress(dataDir);
  if (address === null) return false;
  const keys = await loadKeys(config);
  const hosts = await new ApiClient({ url: address.url, adminKey: keys.adminKey }).hosts().catch(() => []);
  return hosts.some((host) => host.alive);
}

import { randomUUID } from 'node:crypto';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { loadConfig, loadKeys, type Keys } from '@dormouse/config';
import { startPostgres, startRedis, type EmbeddedPostgres, type EmbeddedRedis } from '@dormouse/embedded';
import { KeyRing, openKeyProvider } from '@dormouse/keys';
import { LedgerKeys, SessionLedger } from '@dormouse/ledger';
import { createDataSource, runMigrations } from '@dormouse/persistence';
import { nobody } from '@dormouse/session';
import { readViolations } from '@dormouse/simulation';
import { openBlobStore } from '@dormouse/storage';
import { Redis } from 'ioredis';
import type { DataSource } from 'typeorm';
import { stepClock, withSteppedClock } from '../scenario/step-clock';
import type { SimulatedHosts } from './worker-process';

export interface CloudSize {
  readonly desktops: number;
  readonly hosts: number;
  readonly workers: number;
  readonly apis: number;
  readonly desktopMiB: number;
  readonly speed: number;
  readonly failureRate: number;
  /** Acknowledged writes are on the disk. */
  readonly durable: boolean;
  readonly graceMs: number;
}

export interface Running {
  readonly script: string;
  readonly environment: NodeJS.ProcessEnv;
  /** The hosts whose workers it holds; none of an api. */
  readonly hosts: readonly string[];
  /** What its clock is set by. */
  readonly clock: string;
  process: ChildProcess;
  url: string;
}

/** What makes the processes of a cloud other than usual. */
export interface CloudManner {
  /** By how much their clocks are wrong when they start. */
  readonly aheadMs?: number;
}

const programs = join(process.cwd(), 'dist');
const startPatienceMs = 60_000;

/** Postgres and Redis, api and worker processes as in production; only the machines are simulated. */
export class SimulatedCloud {
  readonly apis: Running[] = [];
  readonly workers: Running[] = [];
  /** Events that mishaps have told of, besides those of the days. */
  eventsOfMishaps = 0;

  private constructor(
    readonly size: CloudSize,
    private readonly manner: CloudManner,
    readonly directory: string,
    private postgres: EmbeddedPostgres,
    private redisServer: EmbeddedRedis,
    readonly dataSource: DataSource,
    readonly keys: Keys,
  ) {}

  /** @param provisioned so many of its desktops are there from the beginning */
  static async start(size: CloudSize, provisioned = size.desktops, manner: CloudManner = {}): Promise<SimulatedCloud> {
    const directory = await mkdtemp(join(tmpdir(), 'dormouse-cloud-'));
    const log = () => undefined;
    const [postgres, redis] = await Promise.all([
      startPostgres({ directory, log, durable: size.durable }),
      startRedis({ directory, log }),
    ]);
    const dataSource = await createDataSource(postgres.url, { poolSize: 4 }).initialize();
    await runMigrations(dataSource);
    const keys = await loadKeys(loadConfig({ DATA_DIR: directory }));
    const cloud = new SimulatedCloud(size, manner, directory, postgres, redis, dataSource, keys);
    try {
      await (await openBlobStore(cloud.storageUrl)).close(); // as the first worker does: desktops may be there before one
      await cloud.ledger.putPool('default', { graceMs: size.graceMs, keepCheckpoints: 1, brokers: 'any' }, 'test');
      for (let n = 0; n < size.apis; n += 1) cloud.apis.push(await cloud.run('apps/api/main.js', {}, []));
      await Promise.all(sharesOf(cloud.hostIds, size.workers).map((hosts) => cloud.startWorkers(hosts)));
      await cloud.provision(cloud.desktopIds.slice(0, provisioned));
      return cloud;
    } catch (error) {
      await cloud.stop();
      throw error;
    }
  }

  get ledger(): SessionLedger {
    return new SessionLedger(this.dataSource);
  }

  get hostIds(): string[] {
    return Array.from({ length: this.size.hosts }, (_, n) => `host-${String(n + 1).padStart(2, '0')}`);
  }

  get desktopIds(): string[] {
    return Array.from({ length: this.size.desktops }, (_, n) => `d-${String(n + 1).padStart(5, '0')}`);
  }

  get world(): string {
    return join(this.directory, 'world');
  }

  /** kill -9, and started again as whoever supervises it would. */
  async crash(running: Running): Promise<void> {
    await end(running.process, 'SIGKILL');
    await this.startAgain(running);
  }

  /** All its hosts lose their power: nothing of them answers any more, and what was in their memory is gone. */
  async vanish(running: Running): Promise<void> {
    await end(running.process, 'SIGKILL');
    for (const host of running.hosts) await rm(join(this.world, 'machines', host), { recursive: true, force: true });
  }

  /** Neither ends nor does anything, until it goes on. */
  halt(running: Running): void {
    running.process.kill('SIGSTOP');
  }

  goOn(running: Running): void {
    running.process.kill('SIGCONT');
  }

  /** Ended in good order, and not started again. */
  async dismiss(worker: Running): Promise<void> {
    this.workers.splice(this.workers.indexOf(worker), 1);
    await end(worker.process, 'SIGTERM');
  }

  /** Sets the clock of a process ahead of ours, or behind it; 0: right again. */
  stepClock({ script, clock }: Running, aheadMs: number): void {
    stepClock(clock, basename(dirname(script)), aheadMs);
  }

  /** Of every process of this cloud. */
  get environment(): NodeJS.ProcessEnv {
    return {
      PATH: process.env['PATH'],
      DATA_DIR: this.directory,
      DATABASE_URL: this.postgres.url,
      REDIS_URL: this.redisServer.socketPath,
      STORAGE_URL: this.storageUrl,
      DISKS_DIR: join(this.directory, 'disks'),
      KEY_URL: this.keyUrl,
      API_PORT: '0',
      LOG_LEVEL: 'warn',
      LOG_FORMAT: 'json',
    };
  }

  /** What makes a process the workers of these hosts. */
  simulationOf(hosts: readonly string[]): NodeJS.ProcessEnv {
    const { speed, failureRate } = this.size;
    const simulation: SimulatedHosts = { root: this.world, hosts, memoryMiB: this.hostMiB, speed, failureRate };
    return { SIMULATION: JSON.stringify(simulation) };
  }

  /** Whoever supervises it does so. */
  async startAgain(running: Running): Promise<void> {
    Object.assign(running, await this.spawn(running));
  }

  async restartPostgres(): Promise<void> {
    const { url } = this.postgres;
    await this.postgres.stop();
    this.postgres = await startPostgres({
      directory: this.directory,
      log: () => undefined,
      durable: this.size.durable,
    });
    if (this.postgres.url !== url) throw new Error(`Postgres has come back elsewhere: ${this.postgres.url}`);
  }

  /** Redis is killed, and comes back with nothing of what it had. */
  async loseRedis(): Promise<void> {
    await this.redisServer.stop();
    await rm(join(this.directory, 'redis', 'appendonlydir'), { recursive: true, force: true });
    this.redisServer = await startRedis({ directory: this.directory, log: () => undefined });
  }

  violations(): Promise<string[]> {
    return readViolations(this.world);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.workers, ...this.apis].map(({ process: child }) => end(child, 'SIGKILL')));
    await this.dataSource.destroy();
    await this.redisServer.stop();
    await this.postgres.stop();
    await rm(this.directory, { recursive: true, force: true });
  }

  /** The process above all of its Postgres. */
  get postgresPid(): number {
    return Number(readFileSync(join(this.directory, 'postgres', 'cluster', 'postmaster.pid'), 'utf8').split('\n')[0]);
  }

  /** The process of its Redis. */
  async redisPid(): Promise<number> {
    const redis = new Redis(this.redisServer.socketPath, { lazyConnect: true });
    try {
      await redis.connect();
      return Number(/process_id:(\d+)/.exec(await redis.info('server'))?.[1]);
    } finally {
      redis.disconnect();
    }
  }

  get databaseUrl(): string {
    return this.postgres.url;
  }

  /** A process with the workers of these hosts. */
  async startWorkers(hosts: readonly string[]): Promise<Running> {
    const running = await this.run('test/simulation/worker-process.js', this.simulationOf(hosts), hosts);
    this.workers.push(running);
    return running;
  }

  /** Desktops that sleep, each with a checkpoint and its key, on all hosts alike. */
  async provision(desktopIds: readonly string[]): Promise<void> {
    const { desktopMiB } = this.size;
    const launchSpec = { machine: 'pc-q35-7.2', cpuModel: 'qemu64', memoryMiB: desktopMiB, cpus: 1, disks: [] };
    const { machine, cpuModel, memoryMiB, cpus } = launchSpec;
    const fingerprint = { qemuVersion: 'simulated', accelerator: 'kvm', machine, cpuModel, memoryMiB, cpus };
    const hosts = this.hostIds;
    const rows = desktopIds.map((id, n) => ({ id, host: hosts[n % hosts.length]!, checkpoint: randomUUID() }));
    const columns = [rows.map(({ id }) => id), rows.map(({ host }) => host), rows.map(({ checkpoint }) => checkpoint)];
    await this.dataSource.query(
      `INSERT INTO desktops (id, pool_id, host_id, checkpoint_id, launch_spec, fingerprint, machine_state, state_since,
         generation, presence, created_at, updated_at)
       SELECT id, 'default', host, checkpoint, $4, $5, 'saved', now(), 1, $6, now(), now()
       FROM unnest($1::text[], $2::text[], $3::uuid[]) AS one (id, host, checkpoint)`,
      [...columns, JSON.stringify(launchSpec), JSON.stringify(fingerprint), JSON.stringify(nobody)],
    );
    await this.dataSource.query(
      `INSERT INTO checkpoints (id, desktop_id, state, storage_prefix, facts, created_at, durable_at, restored_at)
       SELECT checkpoint, id, 'durable', 'simulated', $3, now(), now(), now()
       FROM unnest($1::text[], $2::uuid[]) AS one (id, checkpoint)`,
      [columns[0], columns[2], JSON.stringify({ fingerprint })],
    );
    const provider = await openKeyProvider({ keyUrl: this.keyUrl, vaultToken: null }, () => Promise.resolve(true));
    const ring = new KeyRing(provider, new LedgerKeys(this.dataSource));
    const left = [...rows];
    const provisionOne = async (): Promise<void> => {
      for (let row = left.pop(); row !== undefined; row = left.pop()) {
        await ring.desktopKey(row.id);
        const folder = join(this.world, 'checkpoints', row.id);
        await mkdir(folder, { recursive: true });
        await writeFile(join(folder, `${row.checkpoint}.json`), JSON.stringify({ memory: randomUUID() }));
      }
    };
    await Promise.all(Array.from({ length: 4 }, provisionOne));
    await this.dataSource.query('ANALYZE');
  }

  private get storageUrl(): string {
    return `file://${join(this.directory, 'storage')}`;
  }

  private get keyUrl(): string {
    return `file://${join(this.directory, 'keys', 'master.json')}`;
  }

  /** Room for all, with a third to spare. */
  private get hostMiB(): number {
    const { desktops, hosts, desktopMiB } = this.size;
    return Math.ceil((desktops / hosts) * 1.34 + 1) * desktopMiB;
  }

  private async run(script: string, environment: NodeJS.ProcessEnv, hosts: readonly string[]): Promise<Running> {
    const program = { script, environment, hosts, clock: join(this.directory, 'clocks', randomUUID()) };
    if (this.manner.aheadMs !== undefined) stepClock(program.clock, basename(dirname(script)), this.manner.aheadMs);
    return { ...program, ...(await this.spawn(program)) };
  }

  private async spawn({
    script,
    environment,
    clock,
  }: Omit<Running, 'process' | 'url'>): Promise<Pick<Running, 'process' | 'url'>> {
    const log = createWriteStream(join(this.directory, 'cloud.log'), { flags: 'a' });
    const child = spawn(process.execPath, ['--enable-source-maps', join(programs, script)], {
      env: { ...this.environment, ...withSteppedClock(clock), ...environment },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    child.stdout!.pipe(log);
    child.stderr!.pipe(log);
    const url = await new Promise<string>((resolve, reject) => {
      const tooLate = setTimeout(() => reject(new Error(`${script} did not start`)), startPatienceMs);
      child.once('exit', (code) => reject(new Error(`${script} ended with ${code}`)));
      child.once('message', (message) => {
        clearTimeout(tooLate);
        resolve((message as { url?: string }).url ?? '');
      });
    });
    return { process: child, url };
  }
}

/** The last process has one host alone, which may vanish; the others share the rest. */
function sharesOf(hosts: readonly string[], processes: number): string[][] {
  if (processes < 2) return processes === 1 ? [[...hosts]] : [];
  const shared = hosts.slice(0, -1);
  const shares = Array.from({ length: processes - 1 }, (_, n) =>
    shared.filter((_host, index) => index % (processes - 1) === n),
  );
  return [...shares, hosts.slice(-1)];
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  await ended;
}

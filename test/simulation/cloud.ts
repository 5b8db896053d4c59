import { randomUUID } from 'node:crypto';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig, loadKeys, type Keys } from '@dormouse/config';
import { startPostgres, startRedis, type EmbeddedPostgres, type EmbeddedRedis } from '@dormouse/embedded';
import { KeyRing, openKeyProvider } from '@dormouse/keys';
import { LedgerKeys, SessionLedger } from '@dormouse/ledger';
import { createDataSource, runMigrations } from '@dormouse/persistence';
import { nobody } from '@dormouse/session';
import { readViolations } from '@dormouse/simulation';
import type { DataSource } from 'typeorm';
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

interface Running {
  readonly script: string;
  readonly environment: NodeJS.ProcessEnv;
  process: ChildProcess;
  url: string;
}

const programs = join(process.cwd(), 'dist');
const startPatienceMs = 60_000;

/** Postgres and Redis, api and worker processes as in production; only the machines are simulated. */
export class SimulatedCloud {
  readonly apis: Running[] = [];
  readonly workers: Running[] = [];

  private constructor(
    readonly size: CloudSize,
    readonly directory: string,
    readonly postgres: EmbeddedPostgres,
    private redisServer: EmbeddedRedis,
    readonly dataSource: DataSource,
    readonly keys: Keys,
  ) {}

  static async start(size: CloudSize): Promise<SimulatedCloud> {
    const directory = await mkdtemp(join(tmpdir(), 'dormouse-cloud-'));
    const log = () => undefined;
    const [postgres, redis] = await Promise.all([
      startPostgres({ directory, log, durable: size.durable }),
      startRedis({ directory, log }),
    ]);
    const dataSource = await createDataSource(postgres.url, { poolSize: 4 }).initialize();
    await runMigrations(dataSource);
    const keys = await loadKeys(loadConfig({ DATA_DIR: directory }));
    const cloud = new SimulatedCloud(size, directory, postgres, redis, dataSource, keys);
    try {
      await cloud.ledger.putPool('default', { graceMs: size.graceMs, keepCheckpoints: 1 }, 'test');
      for (let n = 0; n < size.apis; n += 1) cloud.apis.push(await cloud.run('apps/api/main.js', {}));
      const shares = Array.from({ length: size.workers }, (_, n) =>
        cloud.hostIds.filter((_host, index) => index % size.workers === n),
      );
      cloud.workers.push(...(await Promise.all(shares.map((hosts) => cloud.runWorker(hosts)))));
      await cloud.provision();
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
    running.process.kill('SIGKILL');
    await once(running.process, 'exit');
    const { process: again, url } = await this.run(running.script, running.environment);
    Object.assign(running, { process: again, url });
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
    await Promise.all(
      [...this.workers, ...this.apis].map(async ({ process: child }) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const ended = once(child, 'exit');
        child.kill('SIGKILL');
        await ended;
      }),
    );
    await this.dataSource.destroy();
    await this.redisServer.stop();
    await this.postgres.stop();
    await rm(this.directory, { recursive: true, force: true });
  }

  /** Desktops that sleep, each with a checkpoint and its key, on all hosts alike. */
  private async provision(): Promise<void> {
    const { desktopMiB } = this.size;
    const launchSpec = { machine: 'pc-q35-7.2', cpuModel: 'qemu64', memoryMiB: desktopMiB, cpus: 1, disks: [] };
    const { machine, cpuModel, memoryMiB, cpus } = launchSpec;
    const fingerprint = { qemuVersion: 'simulated', accelerator: 'kvm', machine, cpuModel, memoryMiB, cpus };
    const hosts = this.hostIds;
    const rows = this.desktopIds.map((id, n) => ({ id, host: hosts[n % hosts.length]!, checkpoint: randomUUID() }));
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
    const provider = await openKeyProvider({ keyUrl: this.keyUrl, vaultToken: null });
    const ring = new KeyRing(provider, new LedgerKeys(this.dataSource));
    for (const { id, checkpoint } of rows) {
      await ring.desktopKey(id);
      const folder = join(this.world, 'checkpoints', id);
      await mkdir(folder, { recursive: true });
      await writeFile(join(folder, `${checkpoint}.json`), JSON.stringify({ memory: randomUUID() }));
    }
  }

  private get keyUrl(): string {
    return `file://${join(this.directory, 'keys', 'master.json')}`;
  }

  private runWorker(hosts: readonly string[]): Promise<Running> {
    const { speed, failureRate } = this.size;
    const simulation: SimulatedHosts = { root: this.world, hosts, memoryMiB: this.hostMiB, speed, failureRate };
    return this.run('test/simulation/worker-process.js', { SIMULATION: JSON.stringify(simulation) });
  }

  /** Room for all, with a third to spare. */
  private get hostMiB(): number {
    const { desktops, hosts, desktopMiB } = this.size;
    return Math.ceil((desktops / hosts) * 1.34 + 1) * desktopMiB;
  }

  private async run(script: string, environment: NodeJS.ProcessEnv): Promise<Running> {
    const log = createWriteStream(join(this.directory, 'cloud.log'), { flags: 'a' });
    const child = spawn(process.execPath, ['--enable-source-maps', join(programs, script)], {
      env: {
        PATH: process.env['PATH'],
        DATA_DIR: this.directory,
        DATABASE_URL: this.postgres.url,
        REDIS_URL: this.redisServer.socketPath,
        STORAGE_URL: `file://${join(this.directory, 'storage')}`,
        DISKS_DIR: join(this.directory, 'disks'),
        KEY_URL: this.keyUrl,
        API_PORT: '0',
        LOG_LEVEL: 'warn',
        LOG_FORMAT: 'json',
        ...environment,
      },
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
    return { script, environment, process: child, url };
  }
}

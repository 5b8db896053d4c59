import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { diesWithParent, identifyProcess } from '@dormouse/process';
import { DirectoryClaim } from './directory-claim';
import { embeddedService, type EmbeddedService, type ServiceLog } from './embedded-service';
import { HeldDirectory } from './held-directory';
import {
  clusterByDescriptor,
  clusterMajor,
  clusterName,
  createCluster,
  giveCluster,
  postgresEnvironment,
} from './postgres-cluster';
import { findPostgres, type PostgresPrograms } from './postgres-programs';
import { untilNoProcessIn } from './processes-in';
import { unprivilegedAccount, type ServiceAccount } from './service-account';
import { ServiceProcess, type StopSteps } from './service-process';

export interface PostgresOptions {
  /** The data directory; the files go to `postgres` in it. */
  readonly directory: string;
  readonly log: ServiceLog;
  /** False: acknowledged writes may be lost when the machine dies. For tests. Default true. */
  readonly durable?: boolean;
  /** Whether it is started again when it ends by itself. Default false. */
  readonly revive?: boolean;
}

export interface EmbeddedPostgres extends EmbeddedService {
  /** Of the database `dormouse`; its user may create others. Good in every process of this user while we live. */
  readonly url: string;
  /** The same for another database of this Postgres, there or not; `postgres` always is. */
  urlOf(database: string): string;
}

/** It names the socket, .s.PGSQL.5432; there is no TCP. Said outright, or PGPORT in the environment would have a say. */
const port = 5432;
const socketName = `.s.PGSQL.${port}`;

const settings = {
  listen_addresses: '',
  // Relative to the cluster, which is its working directory: bind(2) then does not care how long the path is.
  unix_socket_directories: '.',
  unix_socket_permissions: '0600',
  port: String(port),
  cluster_name: clusterName,
  max_connections: '200',
  shared_buffers: '64MB',
  // No replica will ever follow: less to log.
  wal_level: 'minimal',
  max_wal_senders: '0',
  max_wal_size: '256MB',
  // Compiles a query for longer than the queries here run.
  jit: 'off',
  log_min_messages: 'warning',
  timezone: 'UTC',
  log_timezone: 'UTC',
} as const;

const undurable = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' } as const;

/** Fast shutdown, immediate shutdown (recovers at the next start), and what nothing survives. */
const stopSteps: StopSteps = [
  { signal: 'SIGINT', patienceMs: 20_000 },
  { signal: 'SIGQUIT', patienceMs: 6_000 },
  { signal: 'SIGKILL', patienceMs: 2_000 },
];

/** Recovery after a crash is part of a start; with max_wal_size it takes seconds. */
const startPatienceMs = 60_000;

/**
 * Starts the private Postgres of a data directory, making its files first where there are none.
 * @throws DEPENDENCY_MISSING, DATA_DIRECTORY_IN_USE, SERVICE_UNAVAILABLE
 */
export async function startPostgres({
  directory,
  log,
  durable = true,
  revive = false,
}: PostgresOptions): Promise<EmbeddedPostgres> {
  const home = resolve(directory, 'postgres');
  const cluster = join(home, 'cluster');
  await mkdir(home, { recursive: true, mode: 0o700 });
  const claim = DirectoryClaim.take(home);
  let held: HeldDirectory | undefined;
  const release = () => {
    held?.release();
    claim.release();
  };
  try {
    const { programs, account } = await prepareCluster(cluster, log, durable);
    const own = new HeldDirectory(cluster);
    held = own;
    const start = async (): Promise<ServiceProcess> => {
      await removeMisleadingPidFile(cluster);
      const service = new ServiceProcess(
        {
          name: 'Postgres',
          command: [
            ...account.prefix,
            // Immediate shutdown: what is committed is in the log and is recovered at the next start.
            ...diesWithParent('SIGQUIT'),
            ...[programs.postgres, '-D', clusterByDescriptor],
            ...asArguments(durable ? settings : { ...settings, ...undurable }),
          ],
          cwd: '/',
          env: postgresEnvironment(),
          logFile: join(home, 'postgres.log'),
          descriptor: own.descriptor,
        },
        stopSteps,
      );
      await service.untilReady(() => isReady(cluster, service.pid), startPatienceMs);
      log(`Postgres ${programs.major} runs in ${cluster}`);
      return service;
    };
    const urlOf = urlsAt(own.reachableFor(socketName));
    const service = await embeddedService({ start, workingDirectory: cluster, log, revive, release });
    return { url: urlOf(clusterName), urlOf, ...service };
  } catch (error) {
    release();
    throw error;
  }
}

export interface RunningPostgres {
  /** As `EmbeddedPostgres.url`, for this process until `release`. */
  readonly url: string;
  release(): void;
}

/** The private Postgres of a data directory while another process runs it; null when none does. */
export function runningPostgres(directory: string): RunningPostgres | null {
  const cluster = resolve(directory, 'postgres', 'cluster');
  const file = readPidFile(cluster);
  if (file?.state !== 'ready' || identifyProcess(file.pid) === null) return null;
  const held = new HeldDirectory(cluster);
  return { url: urlsAt(held.reachableFor(socketName))(clusterName), release: () => held.release() };
}

async function prepareCluster(
  cluster: string,
  log: ServiceLog,
  durable: boolean,
): Promise<{ programs: PostgresPrograms; account: ServiceAccount }> {
  const major = clusterMajor(cluster);
  const programs = findPostgres(major ?? undefined);
  const account = unprivilegedAccount();
  if (major === null) {
    log(`making the files of a Postgres ${programs.major} in ${cluster}`);
    await createCluster(cluster, programs, account, durable);
  }
  await untilNoProcessIn(cluster);
  await giveCluster(cluster, account);
  return { programs, account };
}

/** `host` in the query overrules the one in front, which is there because a URL needs one. */
function urlsAt(socketDirectory: string): (database: string) => string {
  const query = new URLSearchParams({ host: socketDirectory, port: String(port) });
  return (database) => `postgresql://${clusterName}@localhost/${encodeURIComponent(database)}?${query.toString()}`;
}

/** postmaster.pid: line 1 the process id, line 8 its state (src/include/utils/pidfile.h); pg_ctl waits the same way. */
function readPidFile(cluster: string): { pid: number; state: string | undefined } | null {
  const path = join(cluster, 'postmaster.pid');
  if (!existsSync(path)) return null;
  const lines = readFileSync(path, 'utf8').split('\n');
  return { pid: Number(lines[0]), state: lines[7]?.trim() };
}

function isReady(cluster: string, pid: number | undefined): boolean {
  const file = readPidFile(cluster);
  return file !== null && file.pid === pid && file.state === 'ready';
}

/**
 * Left behind by a kill -9 or a power cut. Postgres sees through it, unless another process has got the id by now:
 * then it refuses to start. That no process works in the cluster we have made sure of.
 */
async function removeMisleadingPidFile(cluster: string): Promise<void> {
  const file = readPidFile(cluster);
  if (file === null) return;
  const isPid = Number.isSafeInteger(file.pid) && file.pid > 0; // an empty file keeps Postgres from starting
  if (!isPid || identifyProcess(file.pid) !== null) await rm(join(cluster, 'postmaster.pid'));
}

function asArguments(values: Readonly<Record<string, string>>): string[] {
  return Object.entries(values).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join, resolve } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import { diesWithParent } from '@dormouse/process';
import { DirectoryClaim } from './directory-claim';
import { embeddedService, type EmbeddedService, type ServiceLog } from './embedded-service';
import { findProgram } from './find-program';
import { HeldDirectory } from './held-directory';
import { untilNoProcessIn } from './processes-in';
import { ServiceProcess, type StopSteps } from './service-process';

export interface RedisOptions {
  /** The data directory; the files go to `redis` in it. */
  readonly directory: string;
  readonly log: ServiceLog;
  /** Whether it is started again when it ends by itself. Default false. */
  readonly revive?: boolean;
}

export interface EmbeddedRedis extends EmbeddedService {
  /** What ioredis (`path`) connects to. Good in every process of this user while we live. */
  readonly socketPath: string;
}

const socketName = 'redis.sock';
/** Where it keeps what it holds: Redis 7, and older ones. */
const appendOnly = ['appendonlydir', 'appendonly.aof'] as const;

/** `dir` and the socket are relative to the working directory: bind(2) then does not care how long the path is. */
const settings = {
  port: '0',
  unixsocket: socketName,
  unixsocketperm: '600',
  dir: '.',
  appendonly: 'yes',
  appendfsync: 'everysec',
  // The append-only file is what counts; a snapshot beside it would only cost.
  save: '',
  // A job that is evicted is a job that is lost.
  'maxmemory-policy': 'noeviction',
  daemonize: 'no',
} as const;

const stopSteps: StopSteps = [
  { signal: 'SIGTERM', patienceMs: 10_000 },
  { signal: 'SIGKILL', patienceMs: 2_000 },
];

/** It reads its append-only file before it answers. */
const startPatienceMs = 60_000;
const pingPatienceMs = 1_000;

/**
 * Starts the private Redis (or Valkey) of a data directory.
 * @throws DEPENDENCY_MISSING, DATA_DIRECTORY_IN_USE, SERVICE_UNAVAILABLE
 */
export async function startRedis({ directory, log, revive = false }: RedisOptions): Promise<EmbeddedRedis> {
  const program = findRedis();
  const home = resolve(directory, 'redis');
  await mkdir(home, { recursive: true, mode: 0o700 });
  const claim = DirectoryClaim.take(home);
  let held: HeldDirectory | undefined;
  const release = () => {
    held?.release();
    claim.release();
  };
  try {
    await untilNoProcessIn(home);
    held = new HeldDirectory(home);
    const socketPath = `${held.reachableFor(socketName)}/${socketName}`;
    const start = async (): Promise<ServiceProcess> => {
      const service = await startOn(home, program, socketPath);
      log(`${program} runs in ${home}`);
      return service;
    };
    return { socketPath, ...(await embeddedService({ start, workingDirectory: home, log, revive, release })) };
  } catch (error) {
    release();
    throw error;
  }
}

/**
 * What Redis holds is in Postgres as well: a file that Redis cannot read is set aside, and Redis begins anew, rather than keep
 * everything from starting.
 */
async function startOn(home: string, program: string, socketPath: string): Promise<ServiceProcess> {
  try {
    return await startOnce(home, program, socketPath);
  } catch (error) {
    if (!(await setAside(home))) throw error;
    return startOnce(home, program, socketPath);
  }
}

async function startOnce(home: string, program: string, socketPath: string): Promise<ServiceProcess> {
  const service = new ServiceProcess(
    {
      name: 'Redis',
      // On SIGTERM it writes what the append-only file still lacks, and ends.
      command: [...diesWithParent('SIGTERM'), program, ...asArguments(settings)],
      cwd: home,
      env: { PATH: process.env['PATH'], LC_ALL: 'C' },
      logFile: join(home, 'redis.log'),
    },
    stopSteps,
  );
  await service.untilReady(() => answersPing(socketPath), startPatienceMs);
  return service;
}

/** @returns whether there was something to set aside */
async function setAside(home: string): Promise<boolean> {
  const there = appendOnly.filter((name) => existsSync(join(home, name)));
  for (const name of there) {
    const damaged = join(home, `${name}.damaged`);
    await rm(damaged, { recursive: true, force: true });
    await rename(join(home, name), damaged);
  }
  return there.length > 0;
}

function findRedis(): string {
  const program = findProgram('redis-server', 'valkey-server');
  if (program !== null) return program;
  const message =
    'Redis is not installed: install the package redis-server (or valkey), or set REDIS_URL to use your own';
  throw new DormouseError('DEPENDENCY_MISSING', message, { package: 'redis-server' });
}

/** While it loads its file it answers -LOADING, and before that nobody listens. */
function answersPing(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(socketPath, () => socket.write('PING\r\n'));
    socket.once('data', (answer) => {
      resolve(answer.toString().startsWith('+PONG'));
      socket.destroy();
    });
    socket.setTimeout(pingPatienceMs, () => socket.destroy());
    socket.on('error', () => resolve(false)); // not yet: asked again until the patience is over
    socket.once('close', () => resolve(false));
  });
}

function asArguments(values: Readonly<Record<string, string>>): string[] {
  return Object.entries(values).flatMap(([name, value]) => [`--${name}`, value]);
}

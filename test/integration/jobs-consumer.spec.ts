import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  checkEvictionPolicy,
  connectRedis,
  hostQueue,
  JobConsumer,
  JobHandlers,
  jobOptions,
  sessionQueue,
} from '@dormouse/jobs';
import { eventually, RedisFixture, silent } from './jobs-fixture';

let directory: string;
let redis: RedisFixture;
const consumers: JobConsumer<'host' | 'session'>[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-jobs-'));
  redis = await RedisFixture.start(directory);
});
afterEach(async () => {
  for (const consumer of consumers.splice(0)) await consumer.close({ patienceMs: 500 });
});
afterAll(async () => {
  await redis.stop();
  await rm(directory, { recursive: true, force: true });
});

type GraceHandler = Parameters<JobHandlers<'session'>['register']>[1];

function consumeGrace(handler: GraceHandler): JobConsumer<'session'> {
  const handlers = new JobHandlers('session').register('grace', handler);
  const consumer = new JobConsumer({
    queue: sessionQueue,
    handlers,
    redis: redis.socketPath,
    concurrency: 4,
    log: silent,
  });
  consumers.push(consumer);
  consumer.start();
  return consumer;
}

function add(data: object, jobId: string): Promise<unknown> {
  return redis.with(sessionQueue, (queue) => queue.add('grace', data, { ...jobOptions('grace'), jobId }));
}

const payload = { desktopId: 'd', generation: 3 };

describe('a process', () => {
  const nothing = async () => undefined;

  test('does not start when a job has no handler, and says which', () => {
    const handlers = new JobHandlers('host').register('stop', nothing).register('boot', nothing);
    const consumer = new JobConsumer({
      queue: hostQueue('h'),
      handlers,
      redis: redis.socketPath,
      concurrency: 1,
      log: silent,
    });
    expect(() => consumer.start()).toThrow(
      expect.objectContaining({ code: 'JOB_UNHANDLED', details: { jobs: ['register', 'restore'] } }),
    );
  });

  test('does not start when a job has two handlers', () => {
    const handlers = new JobHandlers('session').register('grace', nothing);
    expect(() => handlers.register('grace', nothing)).toThrow(expect.objectContaining({ code: 'JOB_UNHANDLED' }));
  });
});

test('a job reaches its handler with its ids, and is gone when the handler is done', async () => {
  const seen: unknown[] = [];
  consumeGrace(async (received) => void seen.push(received));
  await add(payload, 'grace-d-3');
  await eventually(() => seen.length > 0);
  expect(seen).toEqual([payload]);
  await eventually(async () => (await redis.jobIds(sessionQueue)).length === 0);
});

test('a handler that throws is tried again', async () => {
  let tries = 0;
  consumeGrace(async () => {
    tries += 1;
    if (tries === 1) throw new Error('the database is away');
  });
  await add(payload, 'grace-d-4');
  await eventually(() => tries === 2);
  await eventually(async () => (await redis.jobIds(sessionQueue)).length === 0);
});

test('a payload that is none never reaches a handler, and is not tried again', async () => {
  const seen: unknown[] = [];
  consumeGrace(async (received) => void seen.push(received));
  await add({ desktopId: '../etc', generation: 1 }, 'grace-bad-1');
  await add({ ...payload, operationId: randomUUID() }, 'grace-bad-2');
  await eventually(async () => (await redis.jobIds(sessionQueue)).length === 0);
  expect(seen).toEqual([]);
});

test('closing waits for short jobs and aborts long ones, which another consumer then gets', async () => {
  let aborted = false;
  const first = consumeGrace(async (_payload, { signal }) => {
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    aborted = true;
    throw new Error('handed over');
  });
  await add(payload, 'grace-d-5');
  await eventually(async () => (await redis.with(sessionQueue, (queue) => queue.getActiveCount())) === 1);
  await first.close({ patienceMs: 200 });
  expect(aborted).toBe(true);
  const seen: unknown[] = [];
  consumeGrace(async (received) => void seen.push(received));
  await eventually(() => seen.length === 1);
});

test('closing ends though a handler does not and Redis is away', async () => {
  let release: () => void = () => undefined;
  const consumer = consumeGrace(() => new Promise<void>((resolve) => (release = resolve)));
  await add(payload, 'grace-d-6');
  await eventually(async () => (await redis.with(sessionQueue, (queue) => queue.getActiveCount())) === 1);
  await redis.stop();
  const started = performance.now();
  await consumer.close({ patienceMs: 200 });
  expect(performance.now() - started).toBeLessThan(2_000);
  release();
  await redis.startAgain({ empty: true });
});

test('a consumer that was started while Redis was away works when it comes', async () => {
  await redis.stop();
  const seen: unknown[] = [];
  consumeGrace(async (received) => void seen.push(received));
  await sleep(300);
  await redis.startAgain({ empty: true });
  await add(payload, 'grace-d-7');
  await eventually(() => seen.length === 1);
});

test('a Redis that may throw jobs away is refused', async () => {
  const connection = connectRedis(redis.socketPath, silent);
  await eventually(() => connection.status === 'ready');
  await checkEvictionPolicy(connection);
  await connection.config('SET', 'maxmemory-policy', 'allkeys-lru');
  await expect(checkEvictionPolicy(connection)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  await connection.config('SET', 'maxmemory-policy', 'noeviction');
  connection.disconnect();
});

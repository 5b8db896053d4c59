import { execFileSync } from 'node:child_process';
import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startRedis, type EmbeddedRedis } from '@dormouse/embedded';
import { Redis } from 'ioredis';
import { processesIn } from '../../libs/embedded/processes-in';
import { dataDirectories, longDirectory, quiet, startOwner, untilDeserted } from './embedded-fixture';

jest.setTimeout(60_000);

const newDirectory = dataDirectories();
const running: EmbeddedRedis[] = [];

afterEach(async () => {
  for (const service of running.splice(0)) await service.stop();
});

async function start(directory: string) {
  const service = await startRedis({ directory, log: quiet });
  running.push(service);
  return service;
}

const homeOf = (directory: string) => join(directory, 'redis');

async function connected<T>(socketPath: string, action: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis({ path: socketPath });
  try {
    return await action(redis);
  } finally {
    redis.disconnect();
  }
}

test('what was written is there after a stop and a start, and a stop leaves no process', async () => {
  const directory = await newDirectory();
  const first = await start(directory);
  await connected(first.socketPath, (redis) => redis.set('kept', 'yes'));
  expect(processesIn(homeOf(directory))).not.toEqual([]);
  await first.stop();
  expect(processesIn(homeOf(directory))).toEqual([]);

  const second = await start(directory);
  expect(await connected(second.socketPath, (redis) => redis.get('kept'))).toBe('yes');
  await second.stop();
  await second.stop();
});

test('it keeps every job: nothing is evicted and every write is logged', async () => {
  const { socketPath } = await start(await newDirectory());
  const settings = await connected(socketPath, (redis) =>
    redis.config('GET', 'maxmemory-policy', 'appendonly', 'appendfsync', 'save'),
  );
  expect(settings).toEqual(
    expect.arrayContaining(['noeviction', 'maxmemory-policy', 'appendonly', 'yes', 'appendfsync', 'everysec']),
  );
});

test('nobody reaches it but through a 0600 socket in a 0700 directory', async () => {
  const directory = await newDirectory();
  const { socketPath } = await start(directory);
  expect(await connected(socketPath, (redis) => redis.config('GET', 'port'))).toEqual(['port', '0']);
  expect((await stat(homeOf(directory))).mode & 0o777).toBe(0o700);
  expect((await stat(socketPath)).mode & 0o777).toBe(0o600);
});

test('a directory with a long name serves this process and others', async () => {
  const { socketPath } = await start(longDirectory(await newDirectory()));
  await connected(socketPath, (redis) => redis.set('answer', '42'));
  const script = `const { Redis } = require('ioredis');
    const redis = new Redis({ path: process.argv[1] });
    redis.get('answer').then((value) => { console.log(value); redis.disconnect(); });`;
  expect(execFileSync(process.execPath, ['-e', script, socketPath], { encoding: 'utf8' })).toBe('42\n');
});

test('an owner killed with -9 takes it along, and the next one finds what was written', async () => {
  const directory = await newDirectory();
  const owner = await startOwner('redis', directory);
  await connected(owner.address, (redis) => redis.set('kept', 'yes'));
  owner.process.kill('SIGKILL');
  expect(await untilDeserted(homeOf(directory))).toBeLessThan(2_000);
  const successor = await start(directory);
  expect(await connected(successor.socketPath, (redis) => redis.get('kept'))).toBe('yes');
});

test('Ctrl-C in the terminal of its owner does not reach it', async () => {
  const directory = await newDirectory();
  const owner = await startOwner('redis', directory);
  process.kill(-owner.process.pid!, 'SIGINT');
  await sleep(300);
  expect(await connected(owner.address, (redis) => redis.ping())).toBe('PONG');
  owner.process.kill('SIGKILL');
  await untilDeserted(homeOf(directory));
});

test('a second owner is refused and told who the first one is', async () => {
  const directory = await newDirectory();
  await start(directory);
  await expect(startRedis({ directory, log: quiet })).rejects.toMatchObject({
    code: 'DATA_DIRECTORY_IN_USE',
    message: expect.stringContaining(`another Dormouse (pid ${process.pid}) is using this data directory`),
  });
});

test('its owner learns when it dies', async () => {
  const directory = await newDirectory();
  const service = await start(directory);
  process.kill(processesIn(homeOf(directory))[0]!, 'SIGKILL');
  await expect(service.lost).resolves.toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
});

test('one that is to be revived is started again at the same address, with what it held', async () => {
  const directory = await newDirectory();
  const service = await startRedis({ directory, log: quiet, revive: true });
  await connected(service.socketPath, (redis) => redis.set('kept', 'yes'));
  const [first] = processesIn(homeOf(directory));
  process.kill(first!, 'SIGKILL');
  await untilRevived(homeOf(directory), first!);
  expect(await connected(service.socketPath, (redis) => redis.get('kept'))).toBe('yes');
  await service.stop();
  expect(processesIn(homeOf(directory))).toEqual([]);
});

test.each([
  ['empty', ''],
  ['garbage', 'no manifest of Redis'],
])('its files being %s, they are set aside and it begins anew', async (_, content) => {
  const directory = await newDirectory();
  const first = await start(directory);
  await connected(first.socketPath, (redis) => redis.set('kept', 'yes'));
  await first.stop();
  const manifest = join(homeOf(directory), 'appendonlydir', 'appendonly.aof.manifest');
  await writeFile(manifest, content);
  const { socketPath } = await start(directory);
  expect(await connected(socketPath, (redis) => redis.ping())).toBe('PONG');
});

async function untilRevived(home: string, earlier: number): Promise<void> {
  while (!processesIn(home).some((pid) => pid !== earlier)) await sleep(20);
  await sleep(500);
}

test('where it is not installed the package is named', async () => {
  const directory = await newDirectory();
  const path = process.env['PATH'];
  process.env['PATH'] = '/nowhere';
  try {
    await expect(startRedis({ directory, log: quiet })).rejects.toMatchObject({
      code: 'DEPENDENCY_MISSING',
      message: expect.stringContaining('redis-server'),
    });
  } finally {
    process.env['PATH'] = path;
  }
});

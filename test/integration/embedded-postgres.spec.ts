import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startPostgres, type EmbeddedPostgres } from '@dormouse/embedded';
import { Client } from 'pg';
import { DataSource } from 'typeorm';
import { findPostgres } from '../../libs/embedded/postgres-programs';
import { processesIn } from '../../libs/embedded/processes-in';
import { dataDirectories, longDirectory, quiet, startOwner, untilDeserted } from './embedded-fixture';

jest.setTimeout(60_000);

const newDirectory = dataDirectories();
const running: EmbeddedPostgres[] = [];

afterEach(async () => {
  for (const service of running.splice(0)) await service.stop();
});

async function start(directory: string, options: { durable?: boolean } = { durable: false }) {
  const service = await startPostgres({ directory, log: quiet, ...options });
  running.push(service);
  return service;
}

const clusterOf = (directory: string) => join(directory, 'postgres/cluster');

async function postmasterOf(directory: string): Promise<number> {
  return Number((await readFile(join(clusterOf(directory), 'postmaster.pid'), 'utf8')).split('\n')[0]);
}

async function query(url: string, text: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(text)).rows.map((row) => Object.values(row)[0]);
  } finally {
    await client.end();
  }
}

test('what was written is there after a stop and a start, and a stop leaves no process', async () => {
  const directory = await newDirectory();
  const first = await start(directory, {});
  await query(first.url, `CREATE TABLE kept AS SELECT 'ö' AS word`);
  expect(processesIn(clusterOf(directory))).not.toEqual([]);
  await first.stop();
  expect(processesIn(clusterOf(directory))).toEqual([]);

  const second = await start(directory, {});
  expect(await query(second.url, 'SELECT word FROM kept')).toEqual(['ö']);
  await second.stop();
  await second.stop();
  expect(processesIn(clusterOf(directory))).toEqual([]);
});

test('nobody reaches it but through a 0600 socket in a 0700 directory', async () => {
  const directory = await newDirectory();
  const { url } = await start(directory);
  expect(await query(url, 'SHOW listen_addresses')).toEqual(['']);
  expect((await stat(clusterOf(directory))).mode & 0o777).toBe(0o700);
  expect((await stat(join(clusterOf(directory), '.s.PGSQL.5432'))).mode & 0o777).toBe(0o600);
});

test('commits wait for the disk, unless it was started for tests', async () => {
  const directory = await newDirectory();
  const durable = await start(directory, {});
  expect(await query(durable.url, 'SHOW fsync')).toEqual(['on']);
  expect(await query(durable.url, 'SHOW synchronous_commit')).toEqual(['on']);
  await durable.stop();
  const fast = await start(directory, { durable: false });
  expect(await query(fast.url, 'SHOW fsync')).toEqual(['off']);
});

test('a database made from a template has an address of its own', async () => {
  const service = await start(await newDirectory());
  await query(service.url, 'CREATE TABLE migrated AS SELECT 7 AS version');
  await query(service.urlOf('postgres'), 'CREATE DATABASE copy_1 TEMPLATE dormouse');
  expect(await query(service.urlOf('copy_1'), 'SELECT version FROM migrated')).toEqual([7]);
});

test('a directory with a long name serves this process and others', async () => {
  const service = await start(longDirectory(await newDirectory()));
  const source = await new DataSource({ type: 'postgres', url: service.url }).initialize();
  expect(await source.query('SELECT current_database() AS name')).toEqual([{ name: 'dormouse' }]);
  await source.destroy();

  const script = `const { Client } = require('pg');
    const client = new Client({ connectionString: process.argv[1] });
    client.connect().then(() => client.query('SELECT 42 AS answer'))
      .then(({ rows }) => { console.log(rows[0].answer); return client.end(); });`;
  expect(execFileSync(process.execPath, ['-e', script, service.url], { encoding: 'utf8' })).toBe('42\n');
});

test('an owner killed with -9 takes it along, and the next one finds what was committed', async () => {
  const directory = await newDirectory();
  const owner = await startOwner('postgres', directory);
  await query(owner.address, 'CREATE TABLE kept AS SELECT 1 AS one');
  owner.process.kill('SIGKILL');
  expect(await untilDeserted(clusterOf(directory))).toBeLessThan(2_000);
  const successor = await start(directory, {});
  expect(await query(successor.url, 'SELECT one FROM kept')).toEqual([1]);
});

test('a successor waits until its killed predecessor’s Postgres has ended', async () => {
  const directory = await newDirectory();
  const owner = await startOwner('postgres', directory);
  const predecessor = await postmasterOf(directory);
  process.kill(predecessor, 'SIGSTOP'); // slow to die
  owner.process.kill('SIGKILL');
  await once(owner.process, 'exit');
  const starting = start(directory, {});
  await sleep(500);
  process.kill(predecessor, 'SIGCONT');
  expect(await query((await starting).url, 'SELECT 1')).toEqual([1]);
});

test('Ctrl-C in the terminal of its owner does not reach it', async () => {
  const directory = await newDirectory();
  const owner = await startOwner('postgres', directory);
  process.kill(-owner.process.pid!, 'SIGINT');
  await sleep(300);
  expect(await query(owner.address, 'SELECT 1')).toEqual([1]);
  owner.process.kill('SIGKILL');
  await untilDeserted(clusterOf(directory));
});

test('a second owner is refused and told who the first one is', async () => {
  const directory = await newDirectory();
  const owner = await startOwner('postgres', directory);
  await expect(startPostgres({ directory, log: quiet })).rejects.toMatchObject({
    code: 'DATA_DIRECTORY_IN_USE',
    message: expect.stringContaining(`another Dormouse (pid ${owner.process.pid}) is using this data directory`),
  });
  expect(await query(owner.address, 'SELECT 1')).toEqual([1]);
  owner.process.kill('SIGKILL');
  await untilDeserted(clusterOf(directory));
});

test('a pid file whose id belongs to another process by now does not keep it from starting', async () => {
  const directory = await newDirectory();
  await (await start(directory)).stop();
  const stranger = spawn('sleep', ['60']);
  try {
    await writeFile(join(clusterOf(directory), 'postmaster.pid'), `${stranger.pid}\n${clusterOf(directory)}\n`);
    const { url } = await start(directory);
    expect(await query(url, 'SELECT 1')).toEqual([1]);
  } finally {
    stranger.kill();
  }
});

test('files left half-made by a crash are made anew', async () => {
  const directory = await newDirectory();
  await mkdir(`${clusterOf(directory)}.new/base`, { recursive: true });
  const { url } = await start(directory);
  expect(await query(url, 'SELECT 1')).toEqual([1]);
});

test('its owner learns when it dies', async () => {
  const directory = await newDirectory();
  const service = await start(directory);
  process.kill(await postmasterOf(directory), 'SIGKILL');
  await expect(service.lost).resolves.toMatchObject({
    code: 'SERVICE_UNAVAILABLE',
    message: expect.stringContaining('SIGKILL'),
  });
});

test('files that it cannot start on are an error with the end of its log', async () => {
  const directory = await newDirectory();
  await (await start(directory)).stop();
  await rm(join(clusterOf(directory), 'global'), { recursive: true });
  await expect(startPostgres({ directory, log: quiet })).rejects.toMatchObject({
    code: 'SERVICE_UNAVAILABLE',
    message: expect.stringMatching(/did not start.*global/s),
  });
  expect(processesIn(clusterOf(directory))).toEqual([]);
});

test('a version that is not installed is named with its package', () => {
  expect(() => findPostgres('9')).toThrow(/made by Postgres 9, .* install postgresql-9/);
});

const whenRoot = process.getuid?.() === 0 ? test : test.skip;

whenRoot('where root has no user namespaces it runs as another user, on the same files and back', async () => {
  const directory = await newDirectory();
  const inNamespace = await start(directory);
  await query(inNamespace.url, 'CREATE TABLE kept AS SELECT 1 AS one');
  await inNamespace.stop();
  expect((await stat(clusterOf(directory))).uid).toBe(0);

  const path = process.env['PATH'];
  const refusing = await mkdtemp(join(tmpdir(), 'dormouse-path-'));
  await writeFile(join(refusing, 'unshare'), '#!/bin/sh\necho "unshare: not permitted" >&2\nexit 1\n');
  await chmod(join(refusing, 'unshare'), 0o755);
  process.env['PATH'] = `${refusing}:${path}`;
  try {
    const asAnother = await start(directory);
    expect((await stat(clusterOf(directory))).uid).not.toBe(0);
    expect(await query(asAnother.url, 'SELECT one FROM kept')).toEqual([1]);
    await asAnother.stop();

    const fresh = await newDirectory();
    expect(await query((await start(fresh)).url, 'SELECT 1')).toEqual([1]);
  } finally {
    process.env['PATH'] = path;
    await rm(refusing, { recursive: true });
  }
  expect(await query((await start(directory)).url, 'SELECT one FROM kept')).toEqual([1]);
});

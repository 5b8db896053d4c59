import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { chown, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { DormouseError } from '@dormouse/errors';
import { diesWithParent } from '@dormouse/process';
import { HeldDirectory } from './held-directory';
import type { PostgresPrograms } from './postgres-programs';
import { untilNoProcessIn } from './processes-in';
import { ourselves, type ServiceAccount } from './service-account';

/** Name of the superuser and of the first database. */
export const clusterName = 'dormouse';

/**
 * How a Postgres process is told where its files are: descriptor 3. By name it might not get there, for a directory
 * above may be closed to the account it runs under.
 */
export const clusterByDescriptor = '/proc/self/fd/3';

/** Nothing of ours but the path: PGDATA and its kin would have a say. */
export function postgresEnvironment(): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], LC_ALL: 'C' };
}

/** The major version of Postgres that the files are of, or null when there are none yet. */
export function clusterMajor(cluster: string): string | null {
  const path = join(cluster, 'PG_VERSION');
  if (!existsSync(path)) return null;
  const major = readFileSync(path, 'utf8').trim();
  if (/^\d+$/.test(major)) return major;
  // Empty or damaged. Each database says it as well (template1 is number 1).
  const copy = readFileSync(join(cluster, 'base', '1', 'PG_VERSION'), 'utf8');
  writeFileSync(path, copy);
  return copy.trim();
}

/**
 * Makes the files of a new cluster, with the database `dormouse` in it. They get their name at the very end, so a
 * crash leaves all or nothing. Only without `durable` they are not synced: every later commit, however durable its
 * log, builds on them.
 * @throws SERVICE_UNAVAILABLE with what initdb says.
 */
export async function createCluster(
  cluster: string,
  programs: PostgresPrograms,
  account: ServiceAccount,
  durable: boolean,
): Promise<void> {
  const unfinished = `${cluster}.new`;
  if (existsSync(unfinished)) await untilNoProcessIn(unfinished);
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { mode: 0o700 });
  if (account.owner !== null) await chown(unfinished, account.owner.uid, account.owner.gid);

  // No password: whoever gets to the socket may come in, and it is 0600 in a 0700 directory.
  const access = ['--username', clusterName, '--auth', 'trust'];
  const content = ['--encoding', 'UTF8', '--locale', 'C', ...(durable ? [] : ['--no-sync'])];
  await runOn(unfinished, account, [programs.initdb, '-D', clusterByDescriptor, ...access, ...content]);
  const single = ['--single', '-D', clusterByDescriptor, ...(durable ? [] : ['-F']), 'postgres'];
  await runOn(unfinished, account, [programs.postgres, ...single], `CREATE DATABASE ${clusterName};\n`);

  await rename(unfinished, cluster);
  const parent = await open(dirname(cluster), 'r');
  await parent.sync().finally(() => parent.close());
}

/** Files made under one account are of no use to another: Postgres checks whose they are. */
export async function giveCluster(cluster: string, { owner }: ServiceAccount): Promise<void> {
  if (owner === null || (await stat(cluster)).uid === owner.uid) return;
  // chown(1) comes to the directory itself last: when it is cut short, it is done again.
  await runOn(cluster, ourselves, ['chown', '-R', '-H', `${owner.uid}:${owner.gid}`, clusterByDescriptor]);
}

async function runOn(
  directory: string,
  account: ServiceAccount,
  command: readonly string[],
  input = '',
): Promise<void> {
  const held = new HeldDirectory(directory);
  const [program, ...args] = [...account.prefix, ...diesWithParent('SIGTERM'), ...command];
  try {
    const child = spawn(program!, args, {
      cwd: '/',
      env: postgresEnvironment(),
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe', held.descriptor],
    });
    // A program that ends before it has read its input breaks the pipe; what it says on its way out counts.
    child.stdin!.on('error', () => undefined).end(input);
    const [output, errors, [status, signal]] = await Promise.all([
      text(child.stdout!),
      text(child.stderr!),
      once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>,
    ]);
    if (status === 0) return;
    const why = (errors || output).trim() || `it ended with ${signal ?? status}`;
    const message = `${command[0]} could not prepare ${directory}: ${why}`;
    throw new DormouseError('SERVICE_UNAVAILABLE', message, { directory });
  } finally {
    held.release();
  }
}

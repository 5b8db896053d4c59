import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { processesIn } from '../../libs/embedded/processes-in';

export const quiet = () => undefined;

/** A data directory for each test that asks, removed at the end of the file. */
export function dataDirectories(): () => Promise<string> {
  const made: string[] = [];
  afterAll(() => Promise.all(made.map((directory) => rm(directory, { recursive: true, force: true }))));
  return async () => {
    const directory = await mkdtemp(join(tmpdir(), 'dormouse-embedded-'));
    made.push(directory);
    return directory;
  };
}

/** The name of a directory in `parent` that is longer than a unix socket's address can be. */
export function longDirectory(parent: string): string {
  return join(parent, 'a-directory-with-a-long-name'.repeat(4), 'and more of it, with spaces & signs?');
}

export interface Owner {
  readonly process: ChildProcess;
  readonly address: string;
}

/** Starts another process that owns the service, as the leader of a process group like a terminal makes one. */
export async function startOwner(service: 'postgres' | 'redis', directory: string): Promise<Owner> {
  const hook = join(__dirname, '../contract/typescript.cjs');
  const child = spawn(process.execPath, ['--require', hook, join(__dirname, 'embedded-owner.ts'), service, directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  const [address] = (await Promise.race([
    once(createInterface(child.stdout), 'line'),
    once(child, 'exit').then(() => Promise.reject(new Error('the owner did not start'))),
  ])) as [string];
  return { process: child, address };
}

/** Milliseconds until no process works in the directory any more; gives up after 10 s. */
export async function untilDeserted(directory: string): Promise<number> {
  const start = performance.now();
  while (processesIn(directory).length > 0 && performance.now() - start < 10_000) await sleep(10);
  return performance.now() - start;
}

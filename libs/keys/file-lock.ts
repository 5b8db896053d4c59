import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { keyUnavailable } from './key-errors';

const patienceSeconds = 10;

/**
 * Runs `work` while no other process, on this machine or on another that shares the file system, runs one under the same
 * lock file. The kernel gives the lock back when its holder dies, however it dies.
 * @throws KEY_UNAVAILABLE when the lock cannot be had
 */
export async function withFileLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  const file = await open(path, 'a', 0o600).catch((error: unknown) => {
    throw keyUnavailable(`the lock file ${path} cannot be opened: ${(error as Error).message}`, error);
  });
  try {
    await lock(path, file.fd);
    return await work();
  } finally {
    await file.close();
  }
}

/** Node has no flock(2). The lock belongs to the open file: flock(1) takes it on our descriptor and ends, and we have it. */
async function lock(path: string, descriptor: number): Promise<void> {
  const child = spawn('flock', ['--exclusive', '--timeout', String(patienceSeconds), '3'], {
    stdio: ['ignore', 'ignore', 'pipe', descriptor],
    env: { PATH: process.env['PATH'] },
  });
  try {
    const [said, [status]] = await Promise.all([
      text(child.stderr!),
      once(child, 'exit') as Promise<[number | null, string | null]>,
    ]);
    if (status === 0) return;
    throw keyUnavailable(`the lock of ${path} was not to be had within ${patienceSeconds} s. ${said.trim()}`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw keyUnavailable(
      `a key cannot be added without flock (package util-linux): ${(error as Error).message}`,
      error,
    );
  }
}

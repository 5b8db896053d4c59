import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import { makeDirectory } from '@dormouse/files';

/** What runs in a directory that is full goes on, and needs its worker: that is no reason not to start. */
const full: readonly unknown[] = ['ENOSPC', 'EDQUOT'];

/**
 * Makes a directory if there is none, and tries whether files can be made in it.
 * @param what it is, for the person who reads the refusal
 * @param setting the variable that names it
 * @throws DIRECTORY_UNUSABLE
 */
export async function usableDirectory(path: string, what: string, setting: string): Promise<void> {
  try {
    await makeDirectory(path);
    await tryDirectory(path);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (full.includes(code)) return;
    throw new DormouseError(
      'DIRECTORY_UNUSABLE',
      `${what} ${path} cannot be used: ${message}. Make it writable for the user that Dormouse runs as, or set ${setting} to another one`,
      { path, setting },
      { cause },
    );
  }
}

/** Writes a file and removes it. @throws what the file system says */
export async function tryDirectory(path: string): Promise<void> {
  const file = join(path, `.try-${randomUUID()}`);
  try {
    await writeFile(file, 'a try\n', { flag: 'wx', mode: 0o600 });
  } finally {
    await rm(file, { force: true });
  }
}

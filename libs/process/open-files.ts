import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Whether a process of ours holds all of these files open: the very files, whatever they were called when it opened them. Also
 * false when the kernel does not let us look.
 */
export async function holdsOpen(pid: number, files: readonly string[]): Promise<boolean> {
  const directory = `/proc/${pid}/fd`;
  const descriptors = (await ifSeen(readdir(directory))) ?? [];
  const open = await Promise.all(descriptors.map((fd) => identityOf(join(directory, fd))));
  const wanted = await Promise.all(files.map(identityOf));
  return wanted.every((one) => one !== null && open.includes(one));
}

/** Null when it is not there any more, or hidden from us. */
async function identityOf(path: string): Promise<string | null> {
  const found = await ifSeen(stat(path, { bigint: true }));
  return found && `${found.dev}:${found.ino}`;
}

async function ifSeen<T>(found: Promise<T>): Promise<T | null> {
  try {
    return await found;
  } catch (error) {
    if (['ENOENT', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return null;
    throw error;
  }
}

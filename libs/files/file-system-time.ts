import { randomUUID } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * The time by which a file system dates its files, in milliseconds since the epoch: to be compared with when a file was changed. The
 * clock of this process may be another one, on a shared file system or while it is being set.
 * @throws what the file system says
 */
export async function fileSystemTime(directory: string): Promise<number> {
  const path = join(directory, `.clock.${randomUUID()}`);
  try {
    const file = await open(path, 'wx', 0o600);
    try {
      return (await file.stat()).mtimeMs;
    } finally {
      await file.close();
    }
  } finally {
    await rm(path, { force: true });
  }
}

import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

const prefix = 'building-';
/** No build takes this long: what is older was left by one that was killed. */
const abandonedAfterMs = 60 * 60_000;

/**
 * Makes a directory of a cache by filling one of another name and renaming it: it is there whole or not at all, whoever
 * is killed meanwhile. Safe in any number of processes at once: the first to rename wins, the others use the winner's.
 */
export async function buildOnce(directory: string, build: (building: string) => Promise<void>): Promise<void> {
  if (existsSync(directory)) return;
  const cache = dirname(directory);
  await mkdir(cache, { recursive: true });
  await removeAbandoned(cache);
  const building = join(cache, `${prefix}${randomUUID()}`);
  try {
    await mkdir(building);
    await build(building);
    await rename(building, directory).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error; // another process was first
    });
  } finally {
    await rm(building, { recursive: true, force: true });
  }
}

async function removeAbandoned(cache: string): Promise<void> {
  for (const name of (await readdir(cache)).filter((entry) => entry.startsWith(prefix))) {
    const found = await stat(join(cache, name)).catch(() => null); // another process has just ended with it
    if (found === null || Date.now() - found.mtimeMs < abandonedAfterMs) continue;
    await rm(join(cache, name), { recursive: true, force: true });
  }
}

import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Makes a directory and those above it, for their owner alone. One that is there stays as it is.
 *
 * Not mkdir's `recursive`: where a directory cannot be made although the one above it is there (below /proc, on some network file
 * systems), Node tries again for ever, on a thread that nothing can stop.
 * @returns the topmost directory that was made; null when all were there
 * @throws what the file system says, with the path that could not be made
 */
export async function makeDirectory(path: string): Promise<string | null> {
  if (await isDirectory(path)) return null;
  const above = dirname(path);
  const firstMade = above === path ? null : await makeDirectory(above);
  try {
    await mkdir(path, 0o700);
  } catch (error) {
    // Somebody else may have made it meanwhile.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !(await isDirectory(path))) throw error;
  }
  return firstMade ?? path;
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

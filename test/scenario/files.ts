import type { Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Every file in a directory and its folders, by its path below it; none when there is no such directory, or none any more:
 * a collector may remove a folder while it is being listed. The file that says which directory it is, to hosts that share
 * it, is left out.
 */
export async function filesBelow(directory: string): Promise<string[]> {
  const inEach = await Promise.all((await entriesOf(directory)).map((entry) => pathsOf(directory, entry)));
  return inEach.flat().sort();
}

async function pathsOf(directory: string, entry: Dirent): Promise<string[]> {
  if (entry.isDirectory()) {
    return (await filesBelow(join(directory, entry.name))).map((path) => join(entry.name, path));
  }
  return entry.isFile() && entry.name !== '.dormouse-id' ? [entry.name] : [];
}

async function entriesOf(directory: string): Promise<Dirent[]> {
  try {
    return await readdir(directory, { withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

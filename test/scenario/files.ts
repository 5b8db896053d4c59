import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';

/**
 * Every file in a directory and its folders, by its path below it; none when there is no such directory. The one that says
 * which directory it is, to hosts that share it, is left out.
 */
export async function filesBelow(directory: string): Promise<string[]> {
  if (!existsSync(directory)) return [];
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && entry.name !== '.dormouse-id');
  return files.map((entry) => relative(directory, join(entry.parentPath, entry.name))).sort();
}

import { readFile } from 'node:fs/promises';

/** The text of a file; null when there is none. What it says is the reader's to judge: a file of ours may be empty, half or garbage. */
export async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

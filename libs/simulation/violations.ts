import { appendFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';

const file = (root: string): string => join(root, 'violations.log');

/** Something has happened that must never: written down at once, by whichever host sees it. */
export function recordViolation(root: string, what: string): Promise<void> {
  return appendFile(file(root), `${new Date().toISOString()} ${what}\n`);
}

export async function readViolations(root: string): Promise<string[]> {
  try {
    return (await readFile(file(root), 'utf8')).split('\n').filter((line) => line !== '');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

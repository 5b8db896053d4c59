import { readFile, rename, writeFile } from 'node:fs/promises';
import { isProcessAlive, parseProcessIdentity, type ProcessIdentity } from './process-identity';

/** Remembers a process in a file, for whoever takes over after us. */
export async function recordProcess(file: string, identity: ProcessIdentity): Promise<void> {
  await writeFile(`${file}.new`, JSON.stringify(identity), { mode: 0o600 });
  await rename(`${file}.new`, file);
}

/** The process that a file remembers, if it is alive. */
export async function recordedProcess(file: string): Promise<ProcessIdentity | null> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  const identity = parseProcessIdentity(JSON.parse(text));
  return identity !== null && isProcessAlive(identity) ? identity : null;
}

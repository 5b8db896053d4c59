import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { isProcessAlive, parseProcessIdentity, type ProcessIdentity } from './process-identity';

/** What a file remembers of a process. `unknown`: there is no file, or it is empty or damaged; a process may run all the same. */
export type RecordedProcess = ProcessIdentity | 'ended' | 'unknown';

/**
 * Remembers a process in a file, for whoever takes over after us. Whole or not at all; not synced, since a power cut leaves no process to
 * be remembered.
 */
export async function recordProcess(file: string, identity: ProcessIdentity): Promise<void> {
  const draft = `${file}.new`;
  try {
    await writeFile(draft, JSON.stringify(identity), { mode: 0o600 });
    await rename(draft, file);
  } catch (error) {
    await rm(draft, { force: true }); // a directory that is full must not be kept so
    throw error;
  }
}

/** Whatever the file says: one that a power cut has emptied keeps nobody from starting. */
export async function readProcessRecord(file: string): Promise<RecordedProcess> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'unknown';
    throw error;
  }
  const identity = identityIn(text);
  if (identity === null) return 'unknown';
  return isProcessAlive(identity) ? identity : 'ended';
}

/** The process that a file remembers, if it is alive. */
export async function recordedProcess(file: string): Promise<ProcessIdentity | null> {
  const recorded = await readProcessRecord(file);
  return typeof recorded === 'string' ? null : recorded;
}

function identityIn(text: string): ProcessIdentity | null {
  try {
    return parseProcessIdentity(JSON.parse(text));
  } catch {
    return null; // cut short, or not ours
  }
}

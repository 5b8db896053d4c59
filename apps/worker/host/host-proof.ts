import { readFile, stat } from 'node:fs/promises';
import type { HostProof } from '@dormouse/ledger';
import { processScope } from '@dormouse/process';

/** What tells this host from another one of the same name: a clone, a second container, another data directory. */
export async function hostProof(dataDir: string, directoryId: string): Promise<HostProof> {
  const { dev, ino } = await stat(dataDir);
  const scope = processScope();
  return { directory: directoryId, place: `${(await machineId()) ?? scope}:${dev}:${ino}`, scope };
}

/** machine-id(5); null in most containers. */
async function machineId(): Promise<string | null> {
  const text = await readFile('/etc/machine-id', 'utf8').catch(() => '');
  return text.trim() || null;
}

import { readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';

/** Ids of the processes whose working directory this is; none when there is no such directory. */
export function processesIn(directory: string): number[] {
  const path = ifThere(() => realpathSync(directory));
  if (path === null) return [];
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && ifThere(() => readlinkSync(`/proc/${pid}/cwd`)) === path);
}

/** The program and arguments of a process; empty when it is gone, or a zombie. */
export function commandLineOf(pid: number): string[] {
  return (ifThere(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8')) ?? '').split('\0').filter((word) => word !== '');
}

/** Null also for what is another user's: not ours in any case. */
function ifThere<T>(look: () => T): T | null {
  try {
    return look();
  } catch {
    return null;
  }
}

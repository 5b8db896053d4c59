import { readdir, readFile, readlink } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

export interface FoundProcess {
  readonly pid: number;
  readonly command: string;
}

/** Every process that was started with this data directory, or works in it; zombies and this process are none. */
export async function processesOf(directory: string): Promise<FoundProcess[]> {
  const found: FoundProcess[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)) {
    const read = (name: string): Promise<string> => readFile(`/proc/${pid}/${name}`, 'latin1').catch(() => '');
    const [environ, cmdline] = [await read('environ'), await read('cmdline')];
    const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => '');
    if ([environ, cmdline, cwd].some((text) => text.includes(directory))) {
      found.push({ pid: Number(pid), command: cmdline.replaceAll('\0', ' ') });
    }
  }
  return found;
}

/** What is left of them after at most `patienceMs`. */
export async function leftOf(directory: string, patienceMs: number): Promise<FoundProcess[]> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const left = await processesOf(directory);
    if (left.length === 0 || performance.now() > deadline) return left;
    await sleep(50);
  }
}

/** Ends every one of them at once, and those that appear meanwhile. */
export async function endAllOf(directory: string): Promise<void> {
  for (let left = await processesOf(directory); left.length > 0; left = await leftOf(directory, 200)) {
    for (const { pid } of left) sendSignal(pid, 'SIGKILL');
  }
}

/** A process that has just ended by itself is no error. */
export function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** One variable of a process's environment, as it was started. */
export async function environmentOf(pid: number, variable: string): Promise<string> {
  const entries = (await readFile(`/proc/${pid}/environ`, 'utf8')).split('\0');
  const entry = entries.find((text) => text.startsWith(`${variable}=`));
  if (entry === undefined) throw new Error(`process ${pid} has no ${variable}`);
  return entry.slice(variable.length + 1);
}

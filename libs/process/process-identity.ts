import { setTimeout as sleep } from 'node:timers/promises';
import { limits, timedOut } from '@dormouse/limits';
import { processStat, type ProcessStat } from './process-stat';

/** A process for certain: Linux reuses ids, so the start time (clock ticks since boot, proc(5) field 22) goes with it. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTicks: number;
}

/** The identity of a running process, or null when there is none under this id (or only its zombie). */
export function identifyProcess(pid: number): ProcessIdentity | null {
  const stat = processStat(pid);
  return stat === null || hasEnded(stat) ? null : { pid, startTicks: stat.startTicks };
}

/**
 * The first thread of a process becomes a zombie as soon as it has ended itself. As long as others are on their way out, its files are open,
 * and its sockets still take connections that nobody answers.
 */
function hasEnded({ state, threads }: ProcessStat): boolean {
  return ['Z', 'X'].includes(state) && threads <= 1;
}

export function isProcessAlive(identity: ProcessIdentity): boolean {
  return identifyProcess(identity.pid)?.startTicks === identity.startTicks;
}

/** Reads what was stored as JSON; null when it is not an identity. */
export function parseProcessIdentity(value: unknown): ProcessIdentity | null {
  if (typeof value !== 'object' || value === null) return null;
  const { pid, startTicks } = value as Partial<Record<keyof ProcessIdentity, unknown>>;
  if (!Number.isSafeInteger(pid) || !Number.isSafeInteger(startTicks)) return null;
  return { pid: pid as number, startTicks: startTicks as number };
}

/** Waits until a process is gone; false when it is still there after `patienceMs`. */
export async function processEnded(identity: ProcessIdentity, patienceMs: number): Promise<boolean> {
  const deadline = performance.now() + patienceMs;
  while (isProcessAlive(identity)) {
    if (performance.now() >= deadline) return false;
    await sleep(5);
  }
  return true;
}

/**
 * Ends a process: `signal` first, SIGKILL when it is still there after `patienceMs`. Resolves when it is gone.
 * A process that is gone already, or whose id belongs to another by now, is left alone.
 * @throws PROCESS_STUCK when it outlives SIGKILL: it hangs in the kernel, mostly on a file system that does not answer
 */
export async function stopProcess(
  identity: ProcessIdentity,
  { signal = 'SIGTERM', patienceMs = 5_000 }: { signal?: NodeJS.Signals; patienceMs?: number } = {},
): Promise<void> {
  if (signal !== 'SIGKILL') {
    send(identity, signal);
    if (await processEnded(identity, patienceMs)) return;
  }
  send(identity, 'SIGKILL');
  if (await processEnded(identity, limits.processKilled.ms)) return;
  throw timedOut('processKilled', `process ${identity.pid}`);
}

function send(identity: ProcessIdentity, signal: NodeJS.Signals): void {
  if (!isProcessAlive(identity)) return;
  try {
    process.kill(identity.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // it ended between the look and the signal
  }
}

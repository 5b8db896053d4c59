import { readFileSync } from 'node:fs';

/** USER_HZ of every Linux that Node runs on. */
const msPerTick = 10;

/** What Linux says of a process (proc(5), `/proc/pid/stat`). */
export interface ProcessStat {
  /** A letter: `Z` for a zombie. */
  readonly state: string;
  readonly parent: number;
  /** Processor time of all its threads, user's and system's, in milliseconds, by steps of ten. */
  readonly usedMs: number;
  /** The same of its children that have ended. */
  readonly childrenUsedMs: number;
  /** Threads that it still has; of a zombie with none but the first, 1. */
  readonly threads: number;
  /** When it started, in clock ticks since boot. */
  readonly startTicks: number;
}

/** Null when there is no process under this id. */
export function processStat(pid: number): ProcessStat | null {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return null; // no such process: the answer, not a failure
  }
  // The command name (field 2) may hold spaces and brackets: count from the last one. Next comes field 3, the state.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = (first: number): number => Number(fields[first]) + Number(fields[first + 1]);
  return {
    state: fields[0]!,
    parent: Number(fields[1]),
    usedMs: ticks(11) * msPerTick,
    childrenUsedMs: ticks(13) * msPerTick,
    threads: Number(fields[17]),
    startTicks: Number(fields[19]),
  };
}

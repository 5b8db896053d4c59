import { readdir } from 'node:fs/promises';
import { processStat } from '@dormouse/process';

/** Milliseconds that a process and all its descendants have used of the processors so far, those that have ended among them. */
export async function processorMs(pid: number): Promise<number> {
  const pids = (await readdir('/proc')).map(Number).filter(Number.isInteger);
  const all = pids.flatMap((one) => {
    const stat = processStat(one); // it may end meanwhile
    return stat === null ? [] : [{ pid: one, ...stat }];
  });
  let usedMs = 0;
  for (let generation = [pid]; generation.length > 0;) {
    const these = all.filter((one) => generation.includes(one.pid));
    usedMs += these.reduce((sum, one) => sum + one.usedMs + one.childrenUsedMs, 0);
    generation = all.filter((one) => generation.includes(one.parent)).map((one) => one.pid);
  }
  return usedMs;
}

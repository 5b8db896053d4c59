import { readdir, readFile } from 'node:fs/promises';

/** USER_HZ of every Linux that Node runs on. */
const msPerTick = 10;

interface Stat {
  readonly pid: number;
  readonly parent: number;
  readonly ticks: number;
}

/** What a process and all its descendants have used of the processors so far, those that have ended among them. */
export async function processorMs(pid: number): Promise<number> {
  const all = await allStats();
  let ticks = 0;
  for (let generation = [pid]; generation.length > 0;) {
    const these = all.filter((one) => generation.includes(one.pid));
    ticks += these.reduce((sum, one) => sum + one.ticks, 0);
    generation = all.filter((one) => generation.includes(one.parent)).map((one) => one.pid);
  }
  return ticks * msPerTick;
}

async function allStats(): Promise<Stat[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const stats = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ''))); // it may end meanwhile
  return stats.filter((stat) => stat !== '').map(parse);
}

/**
 * proc(5): the name, in brackets, may hold anything; after it field 4 is the parent, 14 to 17 are user and system time, its own and
 * that of its children that have ended.
 */
function parse(stat: string): Stat {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return { pid: Number.parseInt(stat, 10), parent: Number(fields[1]), ticks };
}

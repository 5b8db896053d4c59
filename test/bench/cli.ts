import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { processStat } from '@dormouse/process';
import { SimulatedCloud } from '../simulation/cloud';
import { oneApi } from './one-api';
import { figure, type Figure } from './figure';

const run = promisify(execFile);
/** Linux counts a child's processor time in steps of 10 ms: several calls are counted together. */
const callsOfARun = 10;

/**
 * What a call of the command line costs: its own processor time, above that of a Node that does nothing; and how long the list of all desktops
 * takes, above the same.
 */
export async function measureCli({
  runs,
  desktops,
  say,
}: {
  runs: number;
  desktops: number;
  say: (line: string) => void;
}): Promise<readonly Figure[]> {
  const cloud = await SimulatedCloud.start({ ...oneApi, desktops, durable: false });
  const dormouse = (...args: readonly string[]): string[] => [join(process.cwd(), 'dist/apps/cli/main.js'), ...args];
  const node = (args: readonly string[]) => run(process.execPath, args, { env: cloud.environment, maxBuffer: 2 ** 30 });
  try {
    const found = { help: [] as number[], show: [] as number[], list: [] as number[], listWall: [] as number[] };
    for (let at = 1; at <= runs; at += 1) {
      const bare = await spentOn(() => node(['-e', '0']), callsOfARun);
      const help = await spentOn(() => node(dormouse('--help')), callsOfARun);
      const show = await spentOn(() => node(dormouse('desktop', 'show', cloud.desktopIds[0]!)), callsOfARun);
      const list = await spentOn(() => node(dormouse('desktop', 'list')), 1);
      found.help.push(help.processorMs - bare.processorMs);
      found.show.push(show.processorMs - bare.processorMs);
      found.list.push(list.processorMs - bare.processorMs);
      found.listWall.push(list.wallMs - bare.wallMs);
      say(`run ${at}: a bare Node ${bare.processorMs.toFixed(0)} ms`);
    }
    return [
      figure('helpCpuMs', 'ms', found.help, 0),
      figure('showCpuMs', 'ms', found.show, 0),
      figure('listCpuMs', 'ms', found.list, 0),
      figure('listMs', 'ms', found.listWall, 0),
    ];
  } finally {
    await cloud.stop();
  }
}

/** A call's share of what so many take, one after the other. */
async function spentOn(
  call: () => Promise<unknown>,
  calls: number,
): Promise<{ readonly processorMs: number; readonly wallMs: number }> {
  const startedMs = performance.now();
  const before = ofChildren();
  for (let at = 0; at < calls; at += 1) await call();
  return { processorMs: (ofChildren() - before) / calls, wallMs: (performance.now() - startedMs) / calls };
}

/** Processor time of the children that have ended; those that go on count when they end. */
function ofChildren(): number {
  return processStat(process.pid)!.childrenUsedMs;
}

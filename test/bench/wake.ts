import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Environment } from '@dormouse/config';
import type { Accelerator } from '@dormouse/qemu';
import type { GuestImage } from '../guest';
import { dropPageCache, leaveAndStop, RunningDormouse, writeOwnStream, type Desk, type OwnStream } from '../scenario';
import type { MachineBeside } from '../scenario/machine-beside';
import { figure, type Figure } from './figure';
import { mappedRamQemu, writeMappedRam } from './mapped-ram';
import { coldBoot, eagerWake, mappedRamWake, type Answered } from './other-ways';
import { lastTrace } from './last-trace';
import { withStorage, type Profile } from './profile';
import { net } from './throttle';
import { usedDesktop } from './used-desktop';

export interface WakeOptions {
  readonly dataDir: string;
  readonly image: GuestImage;
  readonly memoryMiB: number;
  readonly fillMiB: number;
  readonly runs: number;
  readonly profiles: readonly Profile[];
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

/** One used desktop, woken in every way. Times in milliseconds. */
interface Run {
  readonly coldBootMs: number;
  readonly eager: Answered;
  /** Null when no QEMU here has mapped-ram files. */
  readonly mappedRam: Answered | null;
  readonly wakes: readonly Wake[];
  /** Of what the third wake sent ahead, the share that the same guest wants within `wantedMs` when nothing is sent. */
  readonly wantedShare: number;
  readonly ramBytes: number;
}

interface Wake extends Answered {
  /** From the broker's webhook to the last page. */
  readonly hydratedMs: number;
  readonly requests: number;
  readonly stallP99Ms: number;
  readonly aheadPages: number;
}

const poolId = 'wake';
const wakesInRun = 3;
const wantedMs = 30_000;
/** Nobody is back in the moment in which their desktop has been put away. */
const awayMs = 5_000;
const pageBytes = 4096;
/** The ledger knows to the millisecond when the memory was back: to look more often would only take processor time from it. */
const lookEveryMs = 250;
/** Nothing comes but what is asked for, page by page: what a guest wants of its own accord. */
const asIfNothingWereKnown = { wakeSet: false, restMs: wantedMs, longestMs: wantedMs };

/** Wakes used desktops: from a cold boot, eagerly from QEMU's own stream, and with Dormouse the first to the third time. */
export async function measureWake(options: WakeOptions): Promise<{ figures: Figure[]; more: Record<string, unknown> }> {
  const all: Partial<Record<Profile, Run[]>> = {};
  for (const profile of options.profiles) {
    const runs: Run[] = (all[profile] = []);
    while (runs.length < options.runs) {
      options.signal.throwIfAborted();
      runs.push(
        await withStorage(profile, options.dataDir, (environment) => wakeInEveryWay(profile, environment, options)),
      );
      const { eager, wakes } = runs.at(-1)!;
      const answers = wakes.map(({ answeredMs, requests }) => `${answeredMs} ms (${requests} requests)`).join(', ');
      options.say(`run ${runs.length}, ${profile}: eager ${eager.answeredMs} ms, woken ${answers}`);
    }
  }
  return summarize(all);
}

async function wakeInEveryWay(profile: Profile, environment: Environment, options: WakeOptions): Promise<Run> {
  const { say, memoryMiB, fillMiB, image } = options;
  const dataDir = join(options.dataDir, profile, 'data');
  let dormouse = await RunningDormouse.start(dataDir, environment);
  try {
    await dormouse.api.putPool(poolId, { graceMs: 0, keepCheckpoints: 4 });
    const { desk, guest, launchSpec } = await usedDesktop(dormouse, { id: 'wake', poolId, image, memoryMiB, say });
    if (fillMiB > 0) await guest.hold(fillMiB);
    guest.close();
    const accelerator = (await dormouse.api.hosts())[0]!.capabilities['accelerator'] as Accelerator;
    const streamFile = join(dataDir, 'own-stream');
    const stream = await writeOwnStream(desk.runDirectory, streamFile);
    const ramBytes = await leave(desk, say);
    const sealedLayer = join(dataDir, 'disks', desk.id, `${(await desk.view()).diskGeneration}.0.qcow2`);
    const cold = (): Promise<void> => dropPageCache([dataDir, image.goldenImage]);
    const machine = { scratch: join(dataDir, 'other'), launchSpec, accelerator, beforeStart: cold };
    const eager = await eagerWake({ ...machine, disks: [sealedLayer] }, stream, profile === 'net' ? net : null);
    say(`QEMU's eager restore answers after ${eager.answeredMs} ms`);
    const mappedRam = await fromMappedRam({ ...machine, disks: [sealedLayer] }, stream, profile);
    await rm(streamFile);
    say(
      mappedRam === null
        ? 'no QEMU here has mapped-ram'
        : `from a mapped-ram file it answers after ${mappedRam.answeredMs} ms`,
    );
    const coldBootMs = await coldBoot({ ...machine, disks: [image.goldenImage] });
    say(`a cold boot answers after ${coldBootMs} ms`);

    const wakes: Wake[] = [];
    const checkpoints: string[] = [];
    for (;;) {
      checkpoints.push((await desk.view()).checkpointId!);
      const wake = await wakeUp(desk, cold, checkpoints.at(-1)!);
      wakes.push(wake);
      say(`wake ${wakes.length} answers after ${wake.answeredMs} ms, ${wake.requests} requests`);
      await leave(desk, say);
      if (wakes.length === wakesInRun) break;
    }
    // The state that was woken the third time, once more, by a Dormouse that knows nothing of it and sends nothing.
    await dormouse.stop();
    const manner = { WAKE_MANNER: JSON.stringify(asIfNothingWereKnown) };
    dormouse = await RunningDormouse.start(dataDir, { ...environment, ...manner });
    desk.goOnIn(dormouse);
    const wantedShare = await wantedOf(desk, cold, checkpoints.at(-1)!);
    await leaveAndStop(dormouse, desk, poolId);
    return { coldBootMs, eager, mappedRam, wakes, wantedShare, ramBytes };
  } finally {
    await dormouse.stop();
  }
}

/** The same state out of a mapped-ram file, by a QEMU that has them; null when there is none. */
async function fromMappedRam(machine: MachineBeside, stream: OwnStream, profile: Profile): Promise<Answered | null> {
  const qemu = await mappedRamQemu();
  if (qemu === null) return null;
  const file = `${stream.file}.mapped`;
  await writeMappedRam({ ...machine, qemu }, stream, file);
  const answered = await mappedRamWake({ ...machine, qemu }, file, profile === 'net' ? net : null);
  await rm(file);
  return answered;
}

/** @returns bytes of the guest's memory */
async function leave(desk: Desk, say: WakeOptions['say']): Promise<number> {
  await desk.broker('disconnected');
  await desk.until(({ state }) => state === 'saved', 10 * 60_000);
  await sleep(awayMs);
  const { ramBytes, frozenMs } = (await desk.latest('save')).result as Record<string, number>;
  say(`it is saved; its guest was frozen for ${frozenMs} ms`);
  return ramBytes!;
}

/** The user returns, looks at their windows, and stays until all of the memory is there. */
async function wakeUp(desk: Desk, cold: () => Promise<void>, checkpointId: string): Promise<Wake> {
  await cold();
  const fromAtMs = Date.now();
  const fromMs = performance.now();
  const since = (): number => Math.round(performance.now() - fromMs);
  const connecting = desk.broker('connect_requested');
  const guest = await desk.guest();
  await guest.ping({ timeoutMs: 10 * 60_000, retryMs: 20 });
  const pingMs = since();
  await guest.windows(10 * 60_000);
  const answeredMs = since();
  guest.close();
  await connecting;
  await desk.broker('reconnected');
  await desk.until(({ operation, state }) => operation === null && state === 'running', 10 * 60_000, lookEveryMs);
  const hydratedMs = Date.parse((await desk.latest('restore')).endedAt!) - fromAtMs;
  const trace = await lastTrace(desk, checkpointId);
  return {
    pingMs,
    answeredMs,
    hydratedMs,
    requests: trace.requests,
    stallP99Ms: trace.stalls.p99,
    aheadPages: trace.ahead.length,
  };
}

async function wantedOf(desk: Desk, cold: () => Promise<void>, checkpointId: string): Promise<number> {
  const { ahead } = await lastTrace(desk, checkpointId);
  await cold();
  await desk.command('restore', { checkpointId });
  const guest = await desk.guest();
  await guest.ping({ timeoutMs: 10 * 60_000, retryMs: 20 });
  await guest.windows(10 * 60_000);
  guest.close();
  await desk.broker('reconnected');
  const { requested } = await lastTrace(desk, checkpointId);
  const wanted = new Set(requested.filter(({ atUs }) => atUs <= wantedMs * 1_000).map(({ page }) => page));
  return ahead.filter((page) => wanted.has(page)).length / Math.max(1, ahead.length);
}

function summarize(all: Partial<Record<Profile, readonly Run[]>>): {
  figures: Figure[];
  more: Record<string, unknown>;
} {
  const figures: Figure[] = [];
  const more: Record<string, unknown> = {};
  for (const [profile, runs] of Object.entries(all) as [Profile, readonly Run[]][]) {
    const own = timesOf(runs);
    figures.push(...own.map((one) => ({ ...one, name: `${profile}.${one.name}` })));
    more[profile] = { mappedRamMs: null, ...Object.fromEntries(own.map(({ name, median }) => [name, median])) };
  }
  const runs = Object.values(all).flat();
  figures.push(...countsOf(runs));
  return { figures, more };
}

/** What the link to the storage decides. */
function timesOf(runs: readonly Run[]): Figure[] {
  const of = (name: string, unit: string, value: (run: Run) => number, digits = 0): Figure =>
    figure(name, unit, runs.map(value), digits);
  const mappedRam = runs.flatMap((run) => (run.mappedRam === null ? [] : [run.mappedRam.answeredMs]));
  return [
    of('coldBootMs', 'ms', (run) => run.coldBootMs),
    of('qemuEagerMs', 'ms', (run) => run.eager.answeredMs),
    ...(mappedRam.length === 0 ? [] : [figure('mappedRamMs', 'ms', mappedRam, 0)]),
    of('firstWakeMs', 'ms', (run) => run.wakes[0]!.answeredMs),
    of('thirdWakeMs', 'ms', (run) => third(run).answeredMs),
    of('thirdToEager', '', (run) => third(run).answeredMs / run.eager.answeredMs, 3),
    of('pingMs', 'ms', (run) => third(run).pingMs),
    of('eagerPingMs', 'ms', (run) => run.eager.pingMs),
    // Every way of waking pays it, and how long it takes is the machine's: all of the memory is there.
    of('questionMs', 'ms', (run) => run.eager.answeredMs - run.eager.pingMs),
    of('hydratedMs', 'ms', (run) => third(run).hydratedMs),
    of('hydratedToEager', '', (run) => third(run).hydratedMs / run.eager.answeredMs, 2),
    of('stallP99Ms', 'ms', (run) => third(run).stallP99Ms, 2),
  ];
}

/** What the guest decides. */
function countsOf(runs: readonly Run[]): Figure[] {
  const of = (name: string, unit: string, value: (run: Run) => number, digits = 0): Figure =>
    figure(name, unit, runs.map(value), digits);
  return [
    of('requestsFirst', '', (run) => run.wakes[0]!.requests),
    of('requestsThird', '', (run) => third(run).requests),
    of('wakeSetBytes', 'B', (run) => third(run).aheadPages * pageBytes),
    of('ramBytes', 'B', (run) => run.ramBytes),
    of('wantedShare', '', (run) => run.wantedShare, 2),
  ];
}

function third({ wakes }: Run): Wake {
  return wakes[wakesInRun - 1]!;
}

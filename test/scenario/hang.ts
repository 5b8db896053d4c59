import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { OperationView } from '@dormouse/views';
import type { S3Gate } from '../contract/s3-server';
import type { GuestClient } from '../guest';
import type { Desk } from './desk';
import { watchGuest, type GuestWatch } from './guest-watch';
import { processesOf, sendSignal } from './processes';
import { RowHold } from './row-hold';
import type { RunningDormouse } from './running-dormouse';
import { memoryOf, type Memory } from './test-bed';

/** Whoever an operation waits for. `storage` is silent, the others are stopped: none of them ends. */
export type Neighbour = 'qemu' | 'pager' | 'worker' | 'api' | 'postgres' | 'redis' | 'storage';

/** An operation and where in it the neighbour hangs: in a phase, or before a decision of the ledger that a frozen guest waits for. */
export const moments = {
  'save: capture': { command: 'save', phase: 'capture', decision: null },
  'save: frozen': { command: 'save', phase: 'capture', decision: 1 },
  'save: stored': { command: 'save', phase: 'capture', decision: 3 },
  'restore: wake': { command: 'restore', phase: 'wake', decision: null },
  'restore: hydrate': { command: 'restore', phase: 'hydrate', decision: null },
  boot: { command: 'start', phase: 'boot', decision: null },
  stop: { command: 'stop', phase: 'stop', decision: null },
} as const;
export type Moment = keyof typeof moments;

/** In these the machine has no pager, and nothing is stored or read. */
const withoutPager: readonly Moment[] = ['boot', 'stop'];
const all: readonly Neighbour[] = ['qemu', 'pager', 'worker', 'api', 'postgres', 'redis', 'storage'];

/** Every neighbour at every moment at which it has a part in the operation. */
export function hangCases(): { neighbour: Neighbour; moment: Moment }[] {
  return (Object.keys(moments) as Moment[]).flatMap((moment) =>
    all
      .filter((neighbour) => !withoutPager.includes(moment) || (neighbour !== 'pager' && neighbour !== 'storage'))
      .map((neighbour) => ({ neighbour, moment })),
  );
}

const guestPatienceMs = 120_000;

/** Of the memory of each guest. */
export const filledMiB = 16;

/** A desktop with a line into its guest, when it runs. */
export interface HangDesk {
  readonly desk: Desk;
  guest: GuestClient | null;
  memory: Memory;
}

export interface HangWorld {
  readonly dormouse: RunningDormouse;
  readonly gate: S3Gate;
  readonly victim: HangDesk;
  readonly other: HangDesk;
  /** For how long the neighbour hangs. */
  readonly holdMs: number;
  /** From the moment it hangs to the end of the operation, at most. */
  readonly endsWithinMs: number;
  /** What a save and a wake of the other take when nothing hangs. */
  readonly undisturbedMs: number;
}

export interface HangOutcome {
  readonly status: OperationView['status'];
  readonly errorCode: string | null;
  readonly endedMs: number;
  readonly endedInTime: boolean;
  /** The longest that the guest of a save stood still, but for the time in which its own QEMU was stopped by us. */
  readonly guestFrozenMs: number;
  /** The longest that a guest which is woken waited for memory, but for the time in which its QEMU or its storage was stopped by us. */
  readonly guestWaitedMs: number;
  /** How much longer than usual a save and a wake of the other took; where a shared neighbour hangs, how long its guest stood still. */
  readonly othersDelayedMs: number;
  /** The guest has its memory, as it was. */
  readonly intact: boolean;
}

/** One case: the operation begins, the neighbour hangs for a while and comes back, and the desktop is made to run again. */
export async function hang(world: HangWorld, neighbour: Neighbour, moment: Moment): Promise<HangOutcome> {
  const { dormouse, victim, other, holdMs, endsWithinMs } = world;
  const { command, phase, decision } = moments[moment];
  const { desk } = victim;
  await (command === 'restore' ? asleep(victim) : command === 'start' ? off(victim) : running(victim));
  await running(other);
  const { databaseUrl } = await dormouse.services();
  const watches: GuestWatch[] = [];
  if (command === 'save') watches.push(watchGuest(victim.guest!));
  const { id } = await dormouse.api.command(desk.id, command, { reason: `its ${neighbour} is to hang` });
  if (phase !== 'stop')
    await desk.until(({ operation }) => operation?.phase === phase && operation.status === 'active', 120_000, 2);
  let hold: RowHold | null = null;
  if (decision !== null) {
    hold = await RowHold.take(databaseUrl, desk.id);
    for (let passed = 1; passed < decision; passed++) hold = await hold.passOne();
    await hold.workerWaits();
  }
  if (moment === 'restore: hydrate') {
    victim.guest = await desk.guest();
    watches.push(watchGuest(victim.guest));
  }
  const goesOn = await stopNeighbour(world, neighbour);
  try {
    const hungMs = performance.now();
    const released = hold?.release().catch(() => undefined);
    const isOwn = neighbour === 'qemu' || neighbour === 'pager';
    const othersDelayedMs = isOwn ? await sleepsAndWakes(other, world.undisturbedMs) : await standsStill(other, holdMs);
    await sleep(Math.max(0, holdMs - (performance.now() - hungMs)));
    const isToBlame = neighbour === 'qemu' || (neighbour === 'storage' && command === 'restore');
    const whileHung = isToBlame ? 0 : longest(watches, hungMs);
    goesOn();
    const backMs = performance.now();
    await released;
    const { status, error, result } = await desk.ended(id, endsWithinMs * 2);
    const endedMs = performance.now() - hungMs;
    const stoodStillMs = Math.max(whileHung, longest(watches, isToBlame ? backMs : hungMs));
    const frozenMs = status === 'succeeded' && !isToBlame ? Number(result?.['frozenMs'] ?? 0) : 0;
    const stillMs = Math.round(Math.max(stoodStillMs, frozenMs));
    await Promise.all(watches.map((watch) => watch.stop().catch(() => undefined)));
    const before = victim.memory;
    await running(victim);
    const isAnew = command === 'start' || command === 'stop';
    if (isAnew) await victim.guest!.fill(filledMiB);
    const now = await memoryOf(victim.guest!);
    const intact = isAnew || isDeepStrictEqual(now, before);
    victim.memory = now;
    return {
      status,
      errorCode: error?.code ?? null,
      endedMs: Math.round(endedMs),
      endedInTime: endedMs < endsWithinMs,
      guestFrozenMs: command === 'save' ? stillMs : 0,
      guestWaitedMs: command === 'restore' ? stillMs : 0,
      othersDelayedMs: Math.round(othersDelayedMs),
      intact,
    };
  } finally {
    goesOn();
  }
}

function longest(watches: readonly GuestWatch[], sinceMs: number): number {
  return Math.max(0, ...watches.map((watch) => watch.longestSilenceMs(sinceMs)));
}

/** @returns what lets it go on */
export async function stopNeighbour(
  { dormouse, gate, victim }: Pick<HangWorld, 'dormouse' | 'gate' | 'victim'>,
  neighbour: Neighbour,
): Promise<() => void> {
  if (neighbour === 'storage') {
    gate.decide = () => 'silence';
    return () => void (gate.decide = () => 'pass');
  }
  const pids = await pidsOf(dormouse, victim.desk, neighbour);
  for (const pid of pids) sendSignal(pid, 'SIGSTOP');
  return () => pids.forEach((pid) => sendSignal(pid, 'SIGCONT'));
}

const commands = {
  worker: /apps\/worker\/main/,
  api: /apps\/api\/main/,
  postgres: /postgres/,
  redis: /(redis|valkey)-server/,
};

async function pidsOf(
  dormouse: RunningDormouse,
  desk: Desk,
  neighbour: Exclude<Neighbour, 'storage'>,
): Promise<number[]> {
  if (neighbour === 'qemu' || neighbour === 'pager') return [await desk.process(neighbour)];
  const found = (await processesOf(dormouse.dataDir)).filter(({ command }) => commands[neighbour].test(command));
  if (found.length === 0) throw new Error(`there is no ${neighbour}`);
  return found.map(({ pid }) => pid);
}

/** How much longer than usual it takes. */
export async function sleepsAndWakes(one: HangDesk, usualMs: number): Promise<number> {
  const beganMs = performance.now();
  await asleep(one);
  await one.desk.does('restore');
  const tookMs = performance.now() - beganMs;
  await answering(one);
  return Math.max(0, tookMs - usualMs);
}

async function standsStill({ guest }: HangDesk, forMs: number): Promise<number> {
  const watch = watchGuest(guest!);
  const sinceMs = performance.now();
  await sleep(forMs);
  const stillMs = watch.longestSilenceMs(sinceMs);
  await watch.stop();
  return stillMs;
}

/** Whatever it has come to, it runs and answers. */
export async function running(one: HangDesk): Promise<void> {
  const { desk } = one;
  const resting = ['off', 'saved', 'running', 'grace', 'save-failed', 'restore-blocked', 'quarantined'];
  const { state } = await desk.until((now) => now.operation === null && resting.includes(now.state), 180_000);
  if (state === 'saved') await desk.does('restore');
  else if (state === 'off') await desk.does('start');
  else if (state === 'restore-blocked') await desk.does('restore');
  else if (one.guest !== null) return one.guest.ping({ timeoutMs: guestPatienceMs });
  await answering(one);
}

async function asleep(one: HangDesk): Promise<void> {
  await running(one);
  one.guest?.close();
  one.guest = null;
  await one.desk.does('save');
}

async function off(one: HangDesk): Promise<void> {
  await running(one);
  one.guest?.close();
  one.guest = null;
  await one.desk.does('stop', { force: true });
}

async function answering(one: HangDesk): Promise<void> {
  one.guest?.close();
  one.guest = await one.desk.guest();
  await one.guest.ping({ timeoutMs: guestPatienceMs });
}

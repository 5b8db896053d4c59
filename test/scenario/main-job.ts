import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Accelerator } from '@dormouse/qemu';
import type { GuestClient, GuestImage } from '../guest';
import { Desk, guestLaunchSpec } from './desk';
import { watchGuest } from './guest-watch';
import { RunningDormouse } from './running-dormouse';
import { slowDown } from './slow-process';
import { leaveAndStop, sleepAndWake, type Round } from './sleep-and-wake';

export interface MainJobOptions {
  readonly dataDir: string;
  readonly image: GuestImage;
  readonly memoryMiB: number;
  readonly fillMiB: number;
  /** Aborted: everything is stopped, and the job rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Told what happens, as it happens. */
  readonly say: (step: string) => void;
}

/** What was seen. Times in milliseconds. */
export interface MainJobReport extends Omit<Round, 'eagerNonce' | 'contentBytes'> {
  readonly nonceSame: boolean;
  readonly memorySame: boolean;
  readonly cancelledInGrace: boolean;
  readonly cancelledInCapture: boolean;
  /** How far the guest's clock was from ours after waking. */
  readonly clockSkewMs: number;
  /** The longest the guest has left a question unanswered while saves around it were called off. */
  readonly longestSilenceMs: number;
}

const poolId = 'demo';

/** A desktop falls asleep when its user leaves and wakes when they return, and is left alone when they return at once. */
export async function runMainJob(options: MainJobOptions): Promise<MainJobReport> {
  const { say } = options;
  say('starting Dormouse: its own Postgres and Redis, api and worker');
  const dormouse = await RunningDormouse.start(options.dataDir);
  try {
    return await Promise.race([mainJob(dormouse, options), aborted(options.signal)]);
  } finally {
    say('stopping everything');
    await dormouse.stop();
  }
}

/** The same in a Dormouse that runs already. */
export async function mainJob(
  dormouse: RunningDormouse,
  options: Omit<MainJobOptions, 'dataDir' | 'signal'>,
): Promise<MainJobReport> {
  const { image, memoryMiB, fillMiB, say } = options;
  const desk = new Desk(dormouse, 'ada');
  const launchSpec = guestLaunchSpec(image, memoryMiB);
  const accelerator = (await dormouse.api.hosts())[0]!.capabilities['accelerator'] as Accelerator;
  say(`the host runs guests with ${accelerator}`);
  await dormouse.api.putPool(poolId, { graceMs: 60_000, keepCheckpoints: 2 });
  await desk.register(launchSpec, poolId);
  say('desktop ada is registered: QEMU says that it can be saved and woken');
  await desk.start();
  const guest = await desk.guest();
  await guest.ping({ timeoutMs: 120_000 });
  await desk.broker('connected');
  say('ada runs; her user is connected');
  const nonce = await guest.nonce();
  await guest.fill(fillMiB);
  const sum = await guest.sum();
  say(`${fillMiB} MiB of her memory are filled, SHA-256 ${sum.slice(0, 16)}…`);

  const inGrace = await reconnectInGrace(dormouse, desk, guest);
  say(
    `user left and returned within the grace time: ${inGrace.cancelled ? 'nothing happened to the guest' : 'NOT as it should be'}`,
  );
  await dormouse.api.putPool(poolId, { graceMs: 100, keepCheckpoints: 2 });
  const inCapture = await reconnectInCapture(desk, guest);
  say(
    `user returned during the capture: ${inCapture.cancelled ? 'the save was called off, nothing is left of it' : 'NOT as it should be'}`,
  );

  guest.close();
  const { round, guest: awake } = await sleepAndWake(dormouse, desk, { launchSpec, accelerator, say });
  const clockSkewMs = Math.abs((await awake.timeMs()) - Date.now());
  const { eagerNonce, contentBytes: _, ...figures } = round;
  const nonceSame = (await awake.nonce()) === nonce && eagerNonce === nonce;
  const memorySame = (await awake.sum()) === sum;
  awake.close();
  await leaveAndStop(dormouse, desk, poolId);
  return {
    nonceSame,
    memorySame,
    ...figures,
    cancelledInGrace: inGrace.cancelled,
    cancelledInCapture: inCapture.cancelled,
    clockSkewMs: Math.round(clockSkewMs),
    longestSilenceMs: Math.round(Math.max(inGrace.longestSilenceMs, inCapture.longestSilenceMs)),
  };
}

interface CalledOff {
  readonly cancelled: boolean;
  readonly longestSilenceMs: number;
}

async function reconnectInGrace(dormouse: RunningDormouse, desk: Desk, guest: GuestClient): Promise<CalledOff> {
  const before = (await dormouse.api.operationsOf(desk.id)).length;
  const watch = watchGuest(guest);
  await desk.broker('disconnected');
  const grace = await desk.until((desktop) => desktop.state === 'grace');
  await sleep(300);
  await desk.broker('reconnected');
  const back = await desk.until((desktop) => desktop.state === 'running');
  await watch.stop();
  const operations = (await dormouse.api.operationsOf(desk.id)).length;
  const cancelled = grace.graceDeadline !== null && back.graceDeadline === null && operations === before;
  return { cancelled, longestSilenceMs: watch.longestSilenceMs() };
}

async function reconnectInCapture(desk: Desk, guest: GuestClient): Promise<CalledOff> {
  const watch = watchGuest(guest);
  await desk.broker('disconnected');
  await desk.until(({ operation }) => operation?.phase === 'capture');
  const pager = slowDown(await desk.process('pager')); // the user is back before the capture is over, on any machine
  await desk.until(({ operation }) => Number(operation?.progress['streamBytes']) > 0);
  await desk.broker('reconnected');
  const back = await desk.until((desktop) => desktop.state === 'running' && desktop.operation === null);
  pager.atFullSpeed();
  const save = await desk.latest('save');
  await watch.stop();
  // Cleared away after the answer: the user is not to wait for that.
  const isAnythingLeft = async (): Promise<boolean> =>
    (await desk.objects()).length > 0 || (await desk.runDirectory.liveProcess('pager')) !== null;
  for (let look = 0; look < 200 && (await isAnythingLeft()); look++) await sleep(50);
  const cancelled = save.status === 'cancelled' && back.checkpointId === null && !(await isAnythingLeft());
  return { cancelled, longestSilenceMs: watch.longestSilenceMs() };
}

async function aborted(signal: AbortSignal | undefined): Promise<never> {
  if (signal === undefined) return new Promise<never>(() => undefined);
  if (!signal.aborted) await once(signal, 'abort');
  throw signal.reason;
}

import { setTimeout as sleep } from 'node:timers/promises';
import { isDormouseError } from '@dormouse/errors';
import type { HostIntent, HostView } from '@dormouse/views';
import { fillDisk, storageDisk, type FullDisk } from '@dormouse/simulation';
import { leaseMs } from '../../apps/worker/leases';
import { sendSignal } from '../scenario/processes';
import { clockStepNames, clockSteps, type ClockStep } from '../scenario/step-clock';
import type { Running, SimulatedCloud } from './cloud';
import { brokerIsRetired } from './retired-broker';

/** What may happen on a working day; each is over when all is as it was. */
export const mishaps = {
  'a worker is killed': (cloud) => cloud.crash(anyOf(cloud.workers)),
  'an api is killed': (cloud) => cloud.crash(anyOf(cloud.apis)),
  'Redis is lost': (cloud) => cloud.loseRedis(),
  'Postgres is restarted': (cloud) => cloud.restartPostgres(),
  'a host vanishes': hostVanishes,
  'a worker stands still for longer than its leases last': (cloud) => standsStill(cloud, anyOf(cloud.workers)),
  'another worker takes over from one that stands still': workerIsReplaced,
  'an api stands still': (cloud) => standsStill(cloud, anyOf(cloud.apis)),
  'Redis stands still': redisStandsStill,
  'the storage is full': (cloud) => runsFull(cloud, storageDisk),
  'the disk of a host is full': (cloud) => runsFull(cloud, anyOf(cloud.hostIds)),
  'the clocks of an api and a worker are set wrong': (cloud) =>
    clocksAreStepped(cloud, [anyOf(cloud.apis), anyOf(cloud.workers)]),
  'the clocks of all processes are set wrong': (cloud) => clocksAreStepped(cloud, [...cloud.apis, ...cloud.workers]),
  'a broker is gone for good, and retired': brokerIsRetired,
} as const satisfies Readonly<Record<string, (cloud: SimulatedCloud) => Promise<void>>>;

export type Mishap = keyof typeof mishaps;
export const mishapNames = Object.keys(mishaps) as Mishap[];

/** A host is silent for half a minute before anybody may say that it is dead. */
const fencingPatienceMs = 120_000;
const lookEveryMs = 250;
/** Twice as long as a lease: whoever waits for it has it. */
const standstillMs = 2 * leaseMs;
/** For how long two workers are both at the work of their hosts. */
const togetherMs = 5_000;
/** For how long a disk is full, and a clock wrong. */
const whileMs = 8_000;

/** Its machines are lost. An operator who knows that fences it; repaired and back, it is let in again. */
async function hostVanishes(cloud: SimulatedCloud): Promise<void> {
  const lost = cloud.workers.find(({ hosts }) => hosts.length === 1);
  const [hostId] = lost?.hosts ?? [];
  if (lost === undefined || hostId === undefined) throw new Error('no host has a process of its own');
  await cloud.vanish(lost);
  await until(() => ask(cloud, hostId, 'fence'), 'fenced');
  await cloud.startAgain(lost);
  await until(() => ask(cloud, hostId, 'uncordon'), 'open');
}

async function standsStill(cloud: SimulatedCloud, running: Running): Promise<void> {
  cloud.halt(running);
  await sleep(standstillMs);
  cloud.goOn(running);
}

/** Whoever supervises it takes it for dead, and is wrong: it goes on with what it had, beside its successor. */
async function workerIsReplaced(cloud: SimulatedCloud): Promise<void> {
  const halted = anyOf(cloud.workers);
  cloud.halt(halted);
  const successor = await cloud.startWorkers(halted.hosts);
  await sleep(standstillMs);
  cloud.goOn(halted);
  await sleep(togetherMs);
  await cloud.dismiss(successor);
}

async function redisStandsStill(cloud: SimulatedCloud): Promise<void> {
  const pid = await cloud.redisPid();
  sendSignal(pid, 'SIGSTOP');
  await sleep(standstillMs);
  sendSignal(pid, 'SIGCONT');
}

async function runsFull({ world }: SimulatedCloud, disk: FullDisk): Promise<void> {
  await fillDisk(world, disk, true);
  await sleep(whileMs);
  await fillDisk(world, disk, false);
}

/** Twice: once wrong, once right again. */
export async function clocksAreStepped(
  cloud: SimulatedCloud,
  processes: readonly Running[],
  step: ClockStep = anyOf(clockStepNames),
): Promise<void> {
  for (const one of processes) cloud.stepClock(one, clockSteps[step]);
  await sleep(whileMs);
  for (const one of processes) cloud.stepClock(one, 0);
}

/** An operator asks for as long as it is refused: the host is not silent enough, or not cleared yet. */
async function ask(cloud: SimulatedCloud, hostId: string, command: 'fence' | 'uncordon'): Promise<HostView | null> {
  try {
    return await cloud.ledger.changeHost({ hostId, command, reason: 'it has lost its power', actor: 'on-duty' });
  } catch (error) {
    if (isDormouseError(error, 'HOST_ALIVE') || isDormouseError(error, 'HOST_FENCED')) return null;
    throw error;
  }
}

async function until(look: () => Promise<HostView | null>, intent: HostIntent): Promise<void> {
  const end = performance.now() + fencingPatienceMs;
  while ((await look())?.intent !== intent) {
    if (performance.now() > end) throw new Error(`the host is not ${intent} after ${fencingPatienceMs} ms`);
    await sleep(lookEveryMs);
  }
}

function anyOf<T>(these: readonly T[]): T {
  return these[Math.floor(Math.random() * these.length)]!;
}

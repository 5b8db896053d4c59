import { setTimeout as sleep } from 'node:timers/promises';
import { isDormouseError } from '@dormouse/errors';
import type { HostIntent, HostView } from '@dormouse/views';
import type { Running, SimulatedCloud } from './cloud';

/** What may happen on a working day; each is over when all is as it was. */
export const mishaps = {
  'a worker is killed': (cloud) => cloud.crash(anyOf(cloud.workers)),
  'an api is killed': (cloud) => cloud.crash(anyOf(cloud.apis)),
  'Redis is lost': (cloud) => cloud.loseRedis(),
  'Postgres is restarted': (cloud) => cloud.restartPostgres(),
  'a host vanishes': hostVanishes,
} as const satisfies Readonly<Record<string, (cloud: SimulatedCloud) => Promise<void>>>;

/** A host is silent for half a minute before anybody may say that it is dead. */
const fencingPatienceMs = 120_000;
const lookEveryMs = 250;

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
  const end = Date.now() + fencingPatienceMs;
  while ((await look())?.intent !== intent) {
    if (Date.now() > end) throw new Error(`the host is not ${intent} after ${fencingPatienceMs} ms`);
    await sleep(lookEveryMs);
  }
}

function anyOf(processes: readonly Running[]): Running {
  return processes[Math.floor(Math.random() * processes.length)]!;
}

import { randomUUID } from 'node:crypto';
import { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BrokerEventType, JsonObject } from '@dormouse/session';
import type { SimulatedCloud } from './cloud';
import { deliver } from './deliver';

export interface DayPlan {
  /** From the first login to the last logout. */
  readonly lengthMs: number;
  /** Of all events, how many are sent twice, and how many come late. */
  readonly duplicated: number;
  readonly delayed: number;
  readonly longestDelayMs: number;
  /** Desktops whose users come, the first so many; default: all. */
  readonly users?: number;
}

interface Delivery {
  readonly desktopId: string;
  /** It asks for a desktop that sleeps. */
  readonly wakes: boolean;
  readonly atMs: number;
  readonly webhookId: string;
  readonly body: string;
}

export interface DayReport {
  /** Different events; each was answered 202 in the end, else the day has failed. */
  readonly events: number;
  readonly sent: number;
  /** Tries that were not answered, or not with 202, and were made again. */
  readonly triedAgain: number;
  /** Those of them that were answered with 4xx. */
  readonly refused: number;
  /** When the first event was sent that asked for each desktop in the morning; epoch ms. */
  readonly askedForAtMs: ReadonlyMap<string, number>;
  /** When the day began; epoch ms. */
  readonly begunMs: number;
}

/** Desktops of whose broker the first event is lost, and those that a console tells of as well. */
const withoutFirst = 0.2;
const withConsole = 0.3;

/** The day's parts, as shares of its length: between when and when they begin for each user. */
const hours = {
  morning: [0.02, 0.38],
  lunch: [0.42, 0.5],
  noon: [0.5, 0.53],
  afterLunch: [0.56, 0.66],
  evening: [0.7, 1],
} as const;
/** From asking for a desktop to being connected: however long the day is, that takes a person moments. */
const connectingMs = 1_000;

/** How long a day is on whose morning so many users come a second. */
export function lengthOfDayMs(users: number, perSecond: number): number {
  const [from, to] = hours.morning;
  return ((users / perSecond) * 1000) / (to - from);
}

const atOnce = 48;

/**
 * A working day of every desktop's user, as its broker tells it: logins in the morning, lunch, a restart of the broker at noon, the
 * evening. Events are sent again until they are answered, as brokers do.
 */
export async function liveADay(cloud: SimulatedCloud, plan: DayPlan): Promise<DayReport> {
  const date = randomUUID().slice(0, 8);
  const desktopIds = cloud.desktopIds.slice(0, plan.users);
  const deliveries = desktopIds.flatMap((desktopId) => dayOf(desktopId, date, plan));
  deliveries.sort((one, other) => one.atMs - other.atMs);
  const agent = new Agent({ keepAlive: true, maxSockets: atOnce });
  const askedForAtMs = new Map<string, number>();
  const begunMs = Date.now();
  let next = 0;
  let triedAgain = 0;
  let refused = 0;

  async function send({ desktopId, wakes, webhookId, body }: Delivery): Promise<void> {
    if (wakes && !askedForAtMs.has(desktopId)) askedForAtMs.set(desktopId, Date.now());
    const inVain = await deliver(cloud, agent, { webhookId, body, first: next });
    triedAgain += inVain.length;
    refused += inVain.filter((status) => status >= 400 && status < 500).length;
  }

  async function broker(): Promise<void> {
    for (let one = deliveries[next++]; one !== undefined; one = deliveries[next++]) {
      const waitMs = begunMs + one.atMs - Date.now();
      if (waitMs > 0) await sleep(waitMs);
      await send(one);
    }
  }
  await Promise.all(Array.from({ length: atOnce }, broker));
  agent.destroy();
  const events = new Set(deliveries.map(({ webhookId }) => webhookId)).size;
  return { events, sent: deliveries.length, triedAgain, refused, askedForAtMs, begunMs };
}

function dayOf(
  desktopId: string,
  date: string,
  { lengthMs, duplicated, delayed, longestDelayMs }: DayPlan,
): Delivery[] {
  const deliveries: Delivery[] = [];
  const begunMs = Date.now();
  let sequence = 0;
  let epoch = `${date}, before noon`;
  const connecting = connectingMs / lengthMs;

  function tell(type: BrokerEventType, part: number, data: JsonObject): void {
    sequence += 1;
    if (sequence === 1 && epoch.endsWith('before noon') && Math.random() < withoutFirst) return;
    send(part, { source: 'simulated-broker', type, data: { desktopId, brokerEpoch: epoch, sequence, ...data } });
  }

  /** Numbers nothing, but says when it was. */
  function tellByConsole(type: BrokerEventType, part: number): void {
    const time = new Date(begunMs + part * lengthMs).toISOString();
    send(part, { source: 'simulated-console', type, time, data: { desktopId, connectionId: 'console' } });
  }

  function send(part: number, event: { source: string; type: BrokerEventType; time?: string; data: JsonObject }): void {
    const { data } = event;
    const webhookId = `msg_${randomUUID()}`;
    const body = JSON.stringify({ specversion: '1.0', id: webhookId, ...event });
    const late = Math.random() < delayed ? Math.random() * longestDelayMs : 0;
    const atMs = part * lengthMs + late;
    const delivery = { desktopId, wakes: data['connectionId'] === 'morning', atMs, webhookId, body };
    deliveries.push(delivery);
    if (Math.random() < duplicated) deliveries.push({ ...delivery, atMs: atMs + Math.random() * longestDelayMs });
  }

  tell('vdc.broker.snapshot', 0, { connectionIds: [] });
  const morning = within(hours.morning);
  tell('vdc.session.connect_requested', morning, { connectionId: 'morning' });
  tell('vdc.session.connected', morning + connecting, { connectionId: 'morning' });
  const hasLunch = Math.random() < 0.5;
  if (hasLunch) tell('vdc.session.disconnected', within(hours.lunch), { connectionId: 'morning', reason: 'user' });

  // At noon the broker is restarted: it counts anew, and says of each desktop who is there.
  epoch = `${date}, after noon`;
  sequence = 0;
  tell('vdc.broker.snapshot', within(hours.noon), { connectionIds: hasLunch ? [] : ['morning'] });
  if (hasLunch) {
    const back = within(hours.afterLunch);
    tell('vdc.session.connect_requested', back, { connectionId: 'afternoon' });
    tell('vdc.session.connected', back + connecting, { connectionId: 'afternoon' });
  }
  const leaving = hasLunch ? 'afternoon' : 'morning';
  tell('vdc.session.disconnected', within(hours.evening), { connectionId: leaving, reason: 'user' });
  if (Math.random() < withConsole) {
    tellByConsole('vdc.session.connected', within(hours.morning));
    tellByConsole('vdc.session.disconnected', within(hours.lunch));
    tellByConsole('vdc.session.reconnected', within(hours.afterLunch));
    tellByConsole('vdc.session.disconnected', within(hours.evening));
  }
  // What was overtaken on its way is mended: of those it does not know about Dormouse would ask for this.
  tell('vdc.broker.snapshot', 1 + (2 * longestDelayMs) / lengthMs, { connectionIds: [] });
  return deliveries;
}

function within([from, to]: readonly [number, number]): number {
  return from + (to - from) * Math.random();
}

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BrokerEventType, JsonObject } from '@dormouse/session';
import { Webhook } from 'standardwebhooks';
import type { SimulatedCloud } from './cloud';

export interface DayPlan {
  /** From the first login to the last logout. */
  readonly lengthMs: number;
  /** Of all events, how many are sent twice, and how many come late. */
  readonly duplicated: number;
  readonly delayed: number;
  readonly longestDelayMs: number;
}

interface Delivery {
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
}

const atOnce = 48;
const retryMs = 250;
const giveUpAfterMs = 120_000;

/**
 * A working day of every desktop's user, as its broker tells it: logins in the morning, lunch, a restart of the broker at noon, the
 * evening. Events are sent again until they are answered, as brokers do.
 */
export async function liveADay(cloud: SimulatedCloud, plan: DayPlan): Promise<DayReport> {
  const date = randomUUID().slice(0, 8);
  const deliveries = cloud.desktopIds.flatMap((desktopId) => dayOf(desktopId, date, plan));
  deliveries.sort((one, other) => one.atMs - other.atMs);
  const [secret] = cloud.keys.webhookSecrets;
  const signer = new Webhook(secret);
  const begunMs = Date.now();
  let next = 0;
  let triedAgain = 0;

  async function deliver({ webhookId, body }: Delivery): Promise<void> {
    for (let attempt = 0, since = Date.now(); ; attempt += 1) {
      const { url } = cloud.apis[(next + attempt) % cloud.apis.length]!;
      const at = new Date();
      const status = await fetch(`${url}/v1/webhooks`, {
        method: 'POST',
        headers: {
          'content-type': 'application/cloudevents+json',
          'webhook-id': webhookId,
          'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
          'webhook-signature': signer.sign(webhookId, at, body),
        },
        body,
      }).then(
        async (response) => {
          await response.arrayBuffer();
          return response.status;
        },
        () => 0,
      );
      if (status === 202) return;
      if (Date.now() - since > giveUpAfterMs)
        throw new Error(`${webhookId} was never accepted; the last answer is ${status}`);
      triedAgain += 1;
      await sleep(retryMs);
    }
  }

  async function broker(): Promise<void> {
    for (let one = deliveries[next++]; one !== undefined; one = deliveries[next++]) {
      const waitMs = begunMs + one.atMs - Date.now();
      if (waitMs > 0) await sleep(waitMs);
      await deliver(one);
    }
  }
  await Promise.all(Array.from({ length: atOnce }, broker));
  return { events: new Set(deliveries.map(({ webhookId }) => webhookId)).size, sent: deliveries.length, triedAgain };
}

function dayOf(
  desktopId: string,
  date: string,
  { lengthMs, duplicated, delayed, longestDelayMs }: DayPlan,
): Delivery[] {
  const deliveries: Delivery[] = [];
  let sequence = 0;
  let epoch = `${date}, before noon`;

  function tell(type: BrokerEventType, part: number, data: JsonObject): void {
    sequence += 1;
    const webhookId = `msg_${randomUUID()}`;
    const about = { desktopId, brokerEpoch: epoch, sequence, ...data };
    const body = JSON.stringify({ specversion: '1.0', id: webhookId, source: 'simulated-broker', type, data: about });
    const late = Math.random() < delayed ? Math.random() * longestDelayMs : 0;
    const atMs = part * lengthMs + late;
    deliveries.push({ atMs, webhookId, body });
    if (Math.random() < duplicated) deliveries.push({ atMs: atMs + Math.random() * longestDelayMs, webhookId, body });
  }

  tell('vdc.broker.snapshot', 0, { connectionIds: [] });
  const morning = 0.02 + 0.18 * Math.random();
  tell('vdc.session.connect_requested', morning, { connectionId: 'morning' });
  tell('vdc.session.connected', morning + 0.02, { connectionId: 'morning' });
  const hasLunch = Math.random() < 0.5;
  if (hasLunch)
    tell('vdc.session.disconnected', 0.32 + 0.08 * Math.random(), { connectionId: 'morning', reason: 'user' });

  // At noon the broker is restarted: it counts anew, and says of each desktop who is there.
  epoch = `${date}, after noon`;
  sequence = 0;
  tell('vdc.broker.snapshot', 0.5 + 0.03 * Math.random(), { connectionIds: hasLunch ? [] : ['morning'] });
  if (hasLunch) {
    const back = 0.6 + 0.05 * Math.random();
    tell('vdc.session.connect_requested', back, { connectionId: 'afternoon' });
    tell('vdc.session.connected', back + 0.02, { connectionId: 'afternoon' });
  }
  const leaving = hasLunch ? 'afternoon' : 'morning';
  tell('vdc.session.disconnected', 0.75 + 0.25 * Math.random(), { connectionId: leaving, reason: 'user' });
  // What was overtaken on its way is mended: of those it does not know about Dormouse would ask for this.
  tell('vdc.broker.snapshot', 1.1, { connectionIds: [] });
  return deliveries;
}

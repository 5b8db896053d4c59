import { randomUUID } from 'node:crypto';
import { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BrokerEventType, JsonObject } from '@dormouse/session';
import type { SimulatedCloud } from './cloud';
import { deliver } from './deliver';

/** So many desktops it speaks of, at most. */
const mostDesktops = 20;
/** After three of its heartbeats it has fallen silent, and it is in doubt who is at its desktops. */
const intervalSeconds = 1;
const silenceMs = 5_000;

/**
 * A further broker says that users are at some of the desktops, and is gone for good. An operator retires it: nobody is waited for any more.
 * What it had sent and arrives once more afterwards changes nothing.
 */
export async function brokerIsRetired(cloud: SimulatedCloud): Promise<void> {
  const source = `leaving-broker-${randomUUID().slice(0, 8)}`;
  const agent = new Agent({ keepAlive: true });
  const sent: { webhookId: string; body: string }[] = [];
  const tell = async (type: BrokerEventType, data: JsonObject): Promise<void> => {
    const webhookId = `msg_${randomUUID()}`;
    const body = JSON.stringify({ specversion: '1.0', id: webhookId, source, type, data });
    sent.push({ webhookId, body });
    await deliver(cloud, agent, { webhookId, body });
    cloud.eventsOfMishaps += 1;
  };
  try {
    await tell('vdc.broker.heartbeat', { intervalSeconds });
    for (const [n, desktopId] of someOf(cloud.desktopIds).entries()) {
      // Of every other desktop the first event never comes: who is there is in doubt from the beginning.
      await tell('vdc.session.connected', {
        desktopId,
        connectionId: 'left',
        brokerEpoch: source,
        sequence: 1 + (n % 2),
      });
    }
    await sleep(silenceMs);
    await cloud.ledger.retireBroker({ source, reason: 'it was switched off', actor: 'on-duty' });
    for (const again of sent.slice(1)) await deliver(cloud, agent, again);
  } finally {
    agent.destroy();
  }
  const left = await cloud.dataSource.query<unknown[]>(
    `SELECT FROM desktops WHERE presence -> 'sources' @> jsonb_build_array(jsonb_build_object('source', $1::text))`,
    [source],
  );
  if (left.length > 0) throw new Error(`${left.length} desktops know of ${source} again, which was retired`);
}

function someOf(desktopIds: readonly string[]): readonly string[] {
  const from = Math.floor(Math.random() * Math.max(1, desktopIds.length - mostDesktops));
  return desktopIds.slice(from, from + mostDesktops);
}

import { DormouseError } from '@dormouse/errors';
import type { BrokerEventType } from '@dormouse/session';
import type { BrokerAdapter } from './broker-adapter';

/**
 * Agent events of VMware (Omnissa) Horizon as its event database and syslog name them, each a JSON object with its attributes:
 * `{"EventType": "AGENT_CONNECTED", "MachineName": "WIN10-017", "UserDisplayName": "EXAMPLE\\ada", "Time": …, "Node": …}`.
 * Source: "Horizon Agent Events" in the guide of Horizon's administration.
 *
 * A desktop is called by its machine's name, a connection by its user: an agent serves one session. Horizon counts
 * nothing, so the forwarder has to keep the order; and it has no snapshot.
 */
export const horizon: BrokerAdapter = {
  name: 'horizon',
  toEvents: (message, webhookId) => {
    const { EventType, MachineName, UserDisplayName, Time, Node = 'horizon' } = attributesOf(message);
    const types = meanings.get(eventType(EventType)) ?? [];
    return types.map((type, index) => ({
      specversion: '1.0',
      id: `${webhookId}.${index + 1}`,
      source: `horizon/${String(Node)}`,
      type,
      ...(Time !== undefined && { time: Time }),
      data: {
        desktopId: MachineName,
        userRef: UserDisplayName,
        connectionId: UserDisplayName,
        ...(type === 'vdc.session.disconnected' && { reason: types.length > 1 ? 'user' : 'unknown' }),
      },
    }));
  },
};

/** `ENDED` is a logoff, which no `DISCONNECTED` follows. */
const meanings: ReadonlyMap<string, readonly BrokerEventType[]> = new Map([
  ['AGENT_PENDING', ['vdc.session.connect_requested']],
  ['AGENT_CONNECTED', ['vdc.session.connected']],
  ['AGENT_RECONNECTED', ['vdc.session.reconnected']],
  ['AGENT_DISCONNECTED', ['vdc.session.disconnected']],
  ['AGENT_ENDED', ['vdc.session.logged_off', 'vdc.session.disconnected']],
]);

/** Horizon has hundreds, all of this shape. */
function eventType(given: unknown): string {
  if (typeof given === 'string' && /^[A-Z][A-Z0-9_]{0,99}$/.test(given)) return given;
  throw malformed('the EventType of an event of Horizon is of capitals and underscores, such as AGENT_CONNECTED');
}

function attributesOf(message: unknown): Readonly<Record<string, unknown>> {
  if (typeof message === 'object' && message !== null && 'EventType' in message) return message;
  throw malformed('an event of Horizon is an object with an EventType');
}

function malformed(message: string): DormouseError {
  return new DormouseError('EVENT_MALFORMED', message, { field: 'EventType' });
}

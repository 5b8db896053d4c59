import { parseBrokerEvent } from '@dormouse/session';
import { horizon } from './horizon';

const message = {
  EventType: 'AGENT_CONNECTED',
  MachineName: 'WIN10-017',
  UserDisplayName: 'EXAMPLE\\ada',
  Time: '2030-01-31T08:00:00Z',
  Node: 'cs1.example.com',
};
const read = (changes: object) => horizon.toEvents({ ...message, ...changes }, 'msg_1').map(parseBrokerEvent);

test('a connect of Horizon is one of ours, with the machine as desktop and the user as connection', () => {
  expect(read({})).toMatchObject([
    {
      id: 'msg_1.1',
      source: 'horizon/cs1.example.com',
      type: 'vdc.session.connected',
      desktopId: 'WIN10-017',
      connectionId: 'EXAMPLE\\ada',
      occurredAt: '2030-01-31T08:00:00.000Z',
      sequence: null,
    },
  ]);
});

test.each([
  ['AGENT_PENDING', ['vdc.session.connect_requested']],
  ['AGENT_RECONNECTED', ['vdc.session.reconnected']],
  ['AGENT_DISCONNECTED', ['vdc.session.disconnected']],
  ['AGENT_ENDED', ['vdc.session.logged_off', 'vdc.session.disconnected']],
  ['AGENT_STARTUP', []],
  ['BROKER_USERLOGGEDIN', []],
])('%s means %j', (EventType, types) => {
  expect(read({ EventType }).map(({ type }) => type)).toEqual(types);
});

test.each([
  ['EventType', null],
  ['EventType', { MachineName: 'x' }],
  ['data.desktopId', { ...message, MachineName: 'no machine!' }],
  ['data.connectionId', { ...message, UserDisplayName: 7 }],
  ['EventType', { ...message, EventType: 'constructor' }],
  ['EventType', { ...message, EventType: '__proto__' }],
  ['EventType', { ...message, EventType: 7 }],
])('a message with a bad %s is refused by name', (field, bad) => {
  const act = () => horizon.toEvents(bad, 'msg_1').map(parseBrokerEvent);
  expect(act).toThrow(expect.objectContaining({ code: 'EVENT_MALFORMED', details: { field } }));
});

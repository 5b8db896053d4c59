import fc from 'fast-check';
import { isDormouseError } from '@dormouse/errors';
import { brokerEventTypes } from './broker-events';
import { parseBrokerEvent } from './parse-broker-event';

const data = {
  desktopId: 'd-1',
  poolId: 'default',
  brokerEpoch: 'e1',
  sequence: 3,
  userRef: 'anna',
  connectionId: 'c1',
  connectionIds: ['c1'],
  occurredAt: '2030-01-31T08:00:00+01:00',
};

function cloudEvent(changes: object = {}, dataChanges: object = {}) {
  return {
    specversion: '1.0',
    id: 'evt-1',
    source: '/broker/1',
    type: 'vdc.session.disconnected',
    data: { ...data, ...dataChanges },
    ...changes,
  };
}

test.each(brokerEventTypes)('%s is understood', (type) => {
  expect(parseBrokerEvent(cloudEvent({ type }))).toMatchObject({ type, source: '/broker/1', brokerEpoch: 'e1' });
});

test('times are told in UTC, and the data is kept as it came', () => {
  const event = parseBrokerEvent(cloudEvent({}, { reason: 'idle', extra: 1 }));
  expect(event).toMatchObject({ reason: 'idle', occurredAt: '2030-01-31T07:00:00.000Z', data: { extra: 1 } });
});

test('a disconnect for a reason we do not know is still a disconnect', () => {
  expect(parseBrokerEvent(cloudEvent({}, { reason: 'moonlight' }))).toMatchObject({ reason: 'unknown' });
});

test('what a broker may leave out is null', () => {
  const event = parseBrokerEvent(cloudEvent({ data: { desktopId: 'd', connectionId: 'c' } }));
  expect(event).toMatchObject({ sequence: null, brokerEpoch: null, userRef: null, poolId: null, occurredAt: null });
});

test.each([
  ['event', 'not an object'],
  ['specversion', cloudEvent({ specversion: '0.3' })],
  ['type', cloudEvent({ type: 'vdc.session.gone' })],
  ['id', cloudEvent({ id: '' })],
  ['source', cloudEvent({ source: 7 })],
  ['data', cloudEvent({ data: [] })],
  ['data.desktopId', cloudEvent({}, { desktopId: '../etc' })],
  ['data.connectionId', cloudEvent({}, { connectionId: undefined })],
  ['data.connectionIds[1]', cloudEvent({ type: 'vdc.broker.snapshot' }, { connectionIds: ['a', 1] })],
  ['data.intervalSeconds', cloudEvent({ type: 'vdc.broker.heartbeat' }, { intervalSeconds: 0 })],
  ['data.sequence', cloudEvent({}, { sequence: -1 })],
  ['data.sequence', cloudEvent({}, { sequence: '3' })],
  ['data.brokerEpoch', cloudEvent({}, { brokerEpoch: 'x'.repeat(300) })],
  ['data.userRef', cloudEvent({}, { userRef: 'a\u0000b' })],
  ['data.occurredAt', cloudEvent({}, { occurredAt: 'yesterday' })],
])('a malformed event is refused naming %s', (field, event) => {
  expect(() => parseBrokerEvent(event)).toThrow(
    expect.objectContaining({ code: 'EVENT_MALFORMED', details: { field }, message: expect.stringContaining(field) }),
  );
});

test('whatever comes is read or refused with EVENT_MALFORMED', () => {
  const almost = fc.record(
    {
      specversion: fc.constant('1.0'),
      id: fc.string(),
      source: fc.string(),
      type: fc.constantFrom(...brokerEventTypes),
      data: fc.oneof(fc.anything(), fc.object({ key: fc.constantFrom(...Object.keys(data)) })),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.oneof(fc.anything(), almost), (event) => {
      try {
        parseBrokerEvent(event);
      } catch (error) {
        expect(isDormouseError(error, 'EVENT_MALFORMED')).toBe(true);
      }
    }),
    { numRuns: 1_000 },
  );
});

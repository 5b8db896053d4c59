import fc from 'fast-check';
import { isDormouseError } from '@dormouse/errors';
import { brokerEventTypes } from './broker-events';
import { parseBrokerEvent, readBrokerEvent } from './parse-broker-event';

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

describe('a side field never costs the event: it counts as missing, and that is noted', () => {
  const wrong = [5, 'a line\nbreak', 'x'.repeat(300), ['user'], { of: 'network' }, true, 'nul\u0000'];

  test.each(wrong)('the reason %j', (reason) => {
    const { event, notes } = readBrokerEvent(cloudEvent({}, { reason }));
    expect(event).toMatchObject({ type: 'vdc.session.disconnected', connectionId: 'c1', reason: 'unknown' });
    expect(notes).toEqual([expect.stringContaining('data.reason')]);
  });

  test.each(wrong)('the userRef and the poolId %j', (given) => {
    const { event, notes } = readBrokerEvent(cloudEvent({}, { userRef: given, poolId: given }));
    expect(event).toMatchObject({ userRef: null, poolId: null });
    expect(notes).toEqual([expect.stringContaining('data.poolId'), expect.stringContaining('data.userRef')]);
  });

  test.each([0, -1, 3_601, 1.5, '30', {}])('the interval %j of a heartbeat', (intervalSeconds) => {
    const { event, notes } = readBrokerEvent(cloudEvent({ type: 'vdc.broker.heartbeat' }, { intervalSeconds }));
    expect(event).toMatchObject({ type: 'vdc.broker.heartbeat', intervalSeconds: null });
    expect(notes).toEqual([expect.stringContaining('data.intervalSeconds')]);
  });
});

test('what is empty is missing, and needs no note', () => {
  const { event, notes } = readBrokerEvent(
    cloudEvent({}, { userRef: '', reason: '', brokerEpoch: '', occurredAt: '' }),
  );
  expect(event).toMatchObject({ userRef: null, reason: 'unknown', brokerEpoch: null, occurredAt: null });
  expect(notes).toEqual([]);
});

test.each(['vdc.broker.heartbeat', 'vdc.broker.started'])('%s may come without data', (type) => {
  expect(parseBrokerEvent({ specversion: '1.0', id: 'e', source: 's', type })).toMatchObject({ type, data: {} });
});

test('a leap second is a time', () => {
  const event = parseBrokerEvent(cloudEvent({}, { occurredAt: '2016-12-31T23:59:60Z' }));
  expect(event).toMatchObject({ occurredAt: '2017-01-01T00:00:00.000Z' });
});

test('a source has one form', () => {
  expect(parseBrokerEvent(cloudEvent({ source: ' bu\u0308ro ' }))).toMatchObject({ source: 'b\u00fcro' });
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
  ['data.sequence', cloudEvent({}, { sequence: -1 })],
  ['data.sequence', cloudEvent({}, { sequence: '3' })],
  ['data.brokerEpoch', cloudEvent({}, { brokerEpoch: 'x'.repeat(300) })],
  ['data.occurredAt', cloudEvent({}, { occurredAt: 'yesterday' })],
  ['data.occurredAt', cloudEvent({}, { occurredAt: '-200000-01-01T00:00:00Z' })],
  ['data.occurredAt', cloudEvent({}, { occurredAt: -200000 })],
  ['time', cloudEvent({ time: '2030-W05-4' }, { occurredAt: '' })],
  ['data.desktopId', cloudEvent({}, { desktopId: 'x'.repeat(101) })],
  ['type', cloudEvent({ type: 'constructor' })],
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

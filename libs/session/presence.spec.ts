import fc from 'fast-check';
import type { DesktopEvent } from './broker-events';
import { nobody, observe, occupancy, visibleConnections, type Presence } from './presence';

const base = { id: 'x', source: 's', occurredAt: null, data: {}, desktopId: 'd', poolId: null, userRef: null };

function opened(connectionId: string, sequence: number | null, brokerEpoch: string | null = 'e1'): DesktopEvent {
  return { ...base, type: 'vdc.session.connected', connectionId, sequence, brokerEpoch };
}

function closed(connectionId: string, sequence: number | null, brokerEpoch: string | null = 'e1'): DesktopEvent {
  return { ...base, type: 'vdc.session.disconnected', reason: 'user', connectionId, sequence, brokerEpoch };
}

function snapshot(connectionIds: string[], sequence: number | null, brokerEpoch = 'e1'): DesktopEvent {
  return { ...base, type: 'vdc.broker.snapshot', connectionIds, sequence, brokerEpoch };
}

function after(...events: DesktopEvent[]): Presence {
  return events.reduce<Presence>((presence, event) => observe(presence, event) ?? presence, nobody);
}

test('presence is the set of open connections: the same connect twice is one, and each must go', () => {
  const both = after(opened('a', 1), opened('b', 2), opened('a', 3));
  expect(both.connections).toEqual(['a', 'b']);
  expect(occupancy(observe(both, closed('a', 4))!)).toBe('present');
  expect(occupancy(after(opened('a', 1), closed('a', 2)))).toBe('empty');
});

test('a replaced connection that is reported late leaves the new one in place', () => {
  expect(after(opened('old', 1), opened('new', 2), closed('old', 3)).connections).toEqual(['new']);
});

test('an event told before is stale', () => {
  const presence = after(opened('a', 5), closed('a', 6));
  expect(observe(presence, opened('a', 5))).toBeNull();
  expect(observe(presence, closed('a', 6))).toBeNull();
});

test('events without a sequence are taken as they arrive', () => {
  expect(after(opened('a', null, null), closed('a', null, null)).connections).toEqual([]);
});

describe('a gap', () => {
  const gap = after(opened('a', 1), closed('a', 3));

  test('makes presence unknown, whatever the set would be', () => {
    expect(occupancy(gap)).toBe('unknown');
    expect(visibleConnections(gap)).toEqual([]);
  });

  test('is closed by the late event, which takes its own place in the order', () => {
    const closedGap = observe(gap, opened('b', 2))!;
    expect(occupancy(closedGap)).toBe('present');
    expect(closedGap.connections).toEqual(['b']);
    // The connect of 2 belongs before the disconnect of 3, though it arrived after it.
    expect(observe(gap, opened('a', 2))!.connections).toEqual([]);
  });

  test('is not closed by what happens later', () => {
    expect(occupancy(observe(observe(gap, opened('b', 4))!, closed('b', 5))!)).toBe('unknown');
  });

  test('the same early event twice is stale', () => {
    expect(observe(gap, closed('a', 3))).toBeNull();
  });

  test('is closed by a snapshot taken at or after its end, and by none taken before', () => {
    expect(occupancy(observe(gap, snapshot([], 3))!)).toBe('empty');
    expect(occupancy(observe(gap, snapshot(['b'], 9))!)).toBe('present');
    expect(observe(gap, snapshot([], 0))).toBeNull();
  });

  test('that outgrows our patience is given up: only a snapshot helps', () => {
    const far = Array.from({ length: 70 }, (_, index) => opened(`c${index}`, index + 3));
    const lost = after(opened('a', 1), ...far);
    expect(lost.complete).toBe(false);
    expect(lost.ahead).toEqual([]);
    expect(lost.connections).toHaveLength(71);
    expect(occupancy(observe(lost, snapshot([], 100))!)).toBe('empty');
  });
});

describe('a new broker epoch', () => {
  const restarted = after(opened('a', 41, 'e1'), opened('b', 1, 'e2'));

  test('makes presence unknown until a snapshot', () => {
    expect(occupancy(restarted)).toBe('unknown');
    expect(occupancy(observe(restarted, closed('b', 2, 'e2'))!)).toBe('unknown');
    expect(occupancy(observe(restarted, snapshot(['b'], 2, 'e2'))!)).toBe('present');
  });

  test('is not undone by a late event of the old one', () => {
    expect(observe(restarted, closed('a', 42, 'e1'))).toBeNull();
  });
});

const step = fc.record({ open: fc.boolean(), connection: fc.constantFrom('a', 'b', 'c') });

test('in whatever order and however often events arrive, the end is the one of their true order', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 30 }), fc.infiniteStream(fc.nat()), (steps, random) => {
      const events = steps.map(({ open, connection }, index) =>
        open ? opened(connection, index + 1) : closed(connection, index + 1),
      );
      const [first, ...rest] = events;
      const shuffled = [...rest, ...rest]
        .map((event) => ({ event, key: random.next().value as number }))
        .sort((one, other) => one.key - other.key)
        .map(({ event }) => event);
      const presence = after(first!, ...shuffled);
      expect(presence.connections).toEqual(after(...events).connections);
      expect(occupancy(presence)).not.toBe('unknown');
      for (const event of events) expect(observe(presence, event)).toBeNull();
    }),
    { numRuns: 500 },
  );
});

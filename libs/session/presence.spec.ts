import fc from 'fast-check';
import { doubtsOf } from './doubt';
import {
  mayBePresent,
  nobody,
  observe,
  occupancy,
  partOf,
  visibleConnections,
  withoutDoubts,
  withoutSource,
} from './presence';
import { sourceLimits } from './source-presence';
import {
  after,
  announced,
  connected,
  disconnected,
  eventOf,
  isStale,
  next,
  reconnected,
  saidAtMs,
  snapshot,
} from './told-fixture';

const asleep = { nowMs: saidAtMs, hasMachine: false };

test('presence is the set of open connections: the same connect twice is one, and each must go', () => {
  const both = after(connected('a', { sequence: 1 }), connected('b', { sequence: 2 }), connected('a', { sequence: 3 }));
  expect(visibleConnections(both)).toEqual(['a', 'b']);
  expect(occupancy(next(both, disconnected('a', { sequence: 4 })))).toBe('present');
  expect(occupancy(next(both, disconnected('a', { sequence: 4 }), disconnected('b', { sequence: 5 })))).toBe('empty');
});

test('a replaced connection that is reported late leaves the new one in place', () => {
  const presence = after(
    connected('old', { sequence: 1 }),
    connected('new', { sequence: 2 }),
    disconnected('old', { sequence: 3 }),
  );
  expect(visibleConnections(presence)).toEqual(['new']);
});

test('an event told before is stale', () => {
  const presence = after(connected('a', { sequence: 1 }), disconnected('a', { sequence: 2 }));
  expect(isStale(presence, connected('a', { sequence: 1 }))).toBe(true);
  expect(isStale(presence, disconnected('a', { sequence: 2 }))).toBe(true);
});

test('events with neither number nor time are taken as they arrive', () => {
  expect(visibleConnections(after(connected('a'), disconnected('a')))).toEqual([]);
  expect(after(connected('a'), disconnected('a')).sources[0]?.connections).toEqual([]);
});

describe('time orders what numbers do not', () => {
  test.each(['s2', 'EXAMPLE\\ada'])('a late disconnect of %s does not end the connection that came after it', (id) => {
    const back = after(connected(id, { at: 0 }), reconnected(id, { at: 10 }));
    expect(isStale(back, disconnected(id, { at: 5 }))).toBe(true);
    expect(occupancy(next(back, disconnected(id, { at: 11 })))).toBe('empty');
  });

  test('a late connect opens nothing when its disconnect is known', () => {
    const gone = after(disconnected('c', { at: 5 }));
    expect(isStale(gone, connected('c', { at: 1 }))).toBe(true);
    expect(isStale(next(gone, connected('c', { at: 9 })), connected('c', { at: 1 }))).toBe(true);
    expect(visibleConnections(next(gone, connected('c', { at: 9 })))).toEqual(['c']);
  });

  test('of one connection: what came later of another one is no reason', () => {
    const both = after(connected('a', { at: 1 }), connected('b', { at: 10 }));
    expect(visibleConnections(next(both, disconnected('a', { at: 5 })))).toEqual(['b']);
  });

  test('an older snapshot changes nothing that happened after it, and says what happened before', () => {
    const known = after(connected('a', { at: 1 }), connected('b', { at: 10 }));
    expect(visibleConnections(next(known, snapshot([], { at: 5 })))).toEqual(['b']);
    expect(isStale(next(known, snapshot(['b'], { at: 20 })), snapshot([], { at: 15 }))).toBe(true);
  });

  test('what a snapshot did not see, since it had ended, does not come back', () => {
    const empty = after(snapshot([], { at: 10 }));
    expect(isStale(empty, connected('a', { at: 5 }))).toBe(true);
    expect(isStale(next(empty, connected('a', { at: 12 })), disconnected('a', { at: 9 }))).toBe(true);
  });

  test('numbers count more than times: a clock that was set back delays nobody', () => {
    const presence = after(connected('a', { sequence: 1, at: 3_600_000 }), disconnected('a', { sequence: 2, at: 5 }));
    expect(occupancy(presence)).toBe('empty');
  });

  test('a time in the future is none: the clock that says so is wrong, and would overrule all that follows', () => {
    const year = 365 * 86_400_000;
    const presence = after(connected('a', { at: saidAtMs + year }));
    expect(occupancy(next(presence, disconnected('a', { at: saidAtMs })))).toBe('empty');
  });

  test('an event with a time and one without are taken as they arrive', () => {
    expect(occupancy(after(connected('a', { at: 10 }), disconnected('a')))).toBe('empty');
    expect(occupancy(after(connected('a'), disconnected('a', { at: 10 })))).toBe('empty');
  });
});

describe('a gap', () => {
  const gap = after(connected('a', { sequence: 1 }), disconnected('a', { sequence: 3 }));

  test('makes presence unknown, whatever the set would be', () => {
    expect(occupancy(gap)).toBe('unknown');
    expect(visibleConnections(gap)).toEqual([]);
  });

  test('is closed by the late event, which takes its own place in the order', () => {
    const closed = next(gap, connected('b', { sequence: 2 }));
    expect(occupancy(closed)).toBe('present');
    expect(visibleConnections(closed)).toEqual(['b']);
    // The connect of 2 belongs before the disconnect of 3, though it arrived after it.
    expect(visibleConnections(next(gap, connected('a', { sequence: 2 })))).toEqual([]);
  });

  test('is not closed by what happens later', () => {
    expect(occupancy(next(gap, connected('b', { sequence: 4 }), disconnected('b', { sequence: 5 })))).toBe('unknown');
  });

  test('the same early event twice is stale', () => {
    expect(isStale(gap, disconnected('a', { sequence: 3 }))).toBe(true);
  });

  test('is closed by a snapshot taken at or after its end, and by none taken before', () => {
    expect(occupancy(next(gap, snapshot([], { sequence: 3 })))).toBe('empty');
    expect(occupancy(next(gap, snapshot(['b'], { sequence: 9 })))).toBe('present');
    expect(occupancy(next(gap, snapshot([])))).toBe('empty');
    expect(isStale(gap, snapshot([], { sequence: 0 }))).toBe(true);
  });

  test('is closed by a snapshot taken in the middle only up to there', () => {
    const two = next(gap, disconnected('b', { sequence: 6 }));
    const told = next(two, snapshot(['b', 'c'], { sequence: 3 }));
    expect(doubtsOf(told)).toMatchObject([{ gaps: [[4, 5]] }]);
    expect(visibleConnections(told)).toEqual(['c']);
  });

  test('however large is kept: the numbers in it still count', () => {
    const far = after(connected('a', { sequence: 1 }), connected('b', { sequence: Number.MAX_SAFE_INTEGER }));
    expect(isStale(far, disconnected('a', { sequence: 2 }))).toBe(false);
    expect(occupancy(far)).toBe('unknown');
  });

  test('waits with as many events behind it as may come; too many gaps are given up: only a snapshot helps', () => {
    const behind = Array.from({ length: 200 }, (_, index) => disconnected('b', { sequence: index + 3 }));
    const patient = after(connected('a', { sequence: 1 }), ...behind, connected('b', { sequence: 2 }));
    expect(occupancy(patient)).toBe('present');
    const every = Array.from({ length: sourceLimits.gaps + 1 }, (_, index) => announced({ sequence: 2 * index + 3 }));
    const lost = after(connected('a', { sequence: 1 }), ...every);
    expect(doubtsOf(lost)).toMatchObject([{ kind: 'lost', afterEpoch: null }]);
    expect(isStale(lost, announced({ sequence: 2 }))).toBe(true);
    expect(occupancy(next(lost, snapshot([], { sequence: 500 })))).toBe('empty');
  });
});

describe('the first counted event', () => {
  test('need not be the first that happened: it is waited for those before it', () => {
    const phone = after(connected('phone', { sequence: 2 }));
    expect(occupancy(phone)).toBe('unknown');
    const both = next(phone, connected('pc', { sequence: 1 }));
    expect(visibleConnections(both)).toEqual(['pc', 'phone']);
    const pc = next(both, disconnected('phone', { sequence: 3 }));
    expect(visibleConnections(pc)).toEqual(['pc']);
    expect(occupancy(pc)).toBe('present');
  });

  test.each([0, 1])('that is number %d is the first', (first) => {
    expect(occupancy(after(disconnected('a', { sequence: first })))).toBe('empty');
  });

  test('of a source that begins at 0 may be overtaken by the next', () => {
    const both = after(connected('phone', { sequence: 1 }), connected('pc', { sequence: 0 }));
    expect(visibleConnections(both)).toEqual(['pc', 'phone']);
    expect(isStale(both, connected('pc', { sequence: 0 }))).toBe(true);
  });

  test('after a snapshot follows it', () => {
    expect(occupancy(after(snapshot([], { sequence: 4_711 }), announced({ sequence: 4_712 })))).toBe('empty');
  });

  test('far from the beginning says what is missing', () => {
    expect(doubtsOf(after(announced({ sequence: 4_711 })))).toMatchObject([{ kind: 'missing', gaps: [[1, 4_710]] }]);
  });
});

describe('a new broker epoch', () => {
  const restarted = after(connected('a', { sequence: 1, epoch: 'e1' }), connected('b', { sequence: 1, epoch: 'e2' }));

  test('makes presence unknown until a snapshot', () => {
    expect(occupancy(restarted)).toBe('unknown');
    expect(occupancy(next(restarted, disconnected('b', { sequence: 2, epoch: 'e2' })))).toBe('unknown');
    const told = next(restarted, snapshot(['b'], { sequence: 2, epoch: 'e2' }));
    expect(visibleConnections(told)).toEqual(['b']);
    expect(occupancy(told)).toBe('present');
  });

  test('is not undone by a late event of the old one', () => {
    expect(isStale(restarted, disconnected('a', { sequence: 42, epoch: 'e1' }))).toBe(true);
  });

  test('is none when its first event is older than the epoch that is known', () => {
    const known = after(connected('a', { sequence: 1, epoch: 'e2', at: 100 }));
    expect(isStale(known, disconnected('x', { sequence: 9, epoch: 'e1', at: 50 }))).toBe(true);
    expect(occupancy(next(known, disconnected('a', { sequence: 2, epoch: 'e2', at: 110 })))).toBe('empty');
  });

  test('that begins while the desktop sleeps leaves nothing in doubt: nobody can have been connected', () => {
    const before = withoutDoubts(after(connected('a', { sequence: 1 }), disconnected('a', { sequence: 2 })));
    const woken = observe(before, announced({ sequence: 1, epoch: 'e2' }), asleep)!;
    expect(occupancy(woken)).toBe('empty');
    const visited = next(
      woken,
      connected('b', { sequence: 2, epoch: 'e2' }),
      disconnected('b', { sequence: 3, epoch: 'e2' }),
    );
    expect(occupancy(visited)).toBe('empty');
  });
});

describe('sources', () => {
  const a = (sequence: number) => ({ source: 'a', sequence, epoch: 'A' });
  const b = (sequence: number) => ({ source: 'b', sequence, epoch: 'B' });

  test('have their own numbers, epochs and snapshots', () => {
    const both = after(
      connected('x', a(1)),
      disconnected('x', a(2)),
      connected('y', b(1)),
      disconnected('y', b(2)),
      snapshot([], b(2)),
    );
    expect(occupancy(both)).toBe('empty');
    expect(isStale(both, announced(a(3)))).toBe(false);
    expect(occupancy(next(both, announced(a(3)), connected('x', a(4))))).toBe('present');
  });

  test('one with absurd numbers makes nothing of another stale', () => {
    const absurd = after(connected('x', a(1)), announced(b(Number.MAX_SAFE_INTEGER)));
    expect(isStale(absurd, disconnected('x', a(2)))).toBe(false);
  });

  test('end only connections of their own, though these have the same name', () => {
    const both = after(connected('ada', { source: 'a' }), connected('ada', { source: 'b' }));
    expect(visibleConnections(both)).toEqual(['ada']);
    expect(occupancy(next(both, disconnected('ada', { source: 'b' })))).toBe('present');
    expect(occupancy(next(both, snapshot([], { source: 'b' })))).toBe('present');
    expect(occupancy(next(both, snapshot([], { source: 'b' }), snapshot([], { source: 'a' })))).toBe('empty');
  });

  test('one that is certain of somebody suffices, whatever is missing of another', () => {
    const doubted = after(announced({ source: 'b', sequence: 7 }), connected('x', a(1)));
    expect(occupancy(doubted)).toBe('present');
    expect(occupancy(next(doubted, disconnected('x', a(2))))).toBe('unknown');
    expect(doubtsOf(next(doubted, disconnected('x', a(2))))).toMatchObject([{ source: 'b', kind: 'missing' }]);
  });

  test('one that is retired leaves the others as they were', () => {
    const doubted = after(connected('x', a(1)), announced({ source: 'b', sequence: 7 }));
    expect(withoutSource(doubted, 'b')).toEqual(after(connected('x', a(1))));
    expect(withoutSource(doubted, 'c')).toBeNull();
  });

  test('of any name are kept apart', () => {
    const names = ['__proto__', 'constructor', 'toString'];
    const all = names.reduce((known, source) => next(known, connected('x', { source })), nobody);
    expect(all.sources.map(({ source }) => source)).toEqual(names.toSorted());
    expect(next(all, disconnected('x', { source: '__proto__' })).sources).toHaveLength(3);
  });

  test('that say nothing any more are forgotten before they become many', () => {
    const brokers = Array.from({ length: 200 }, (_, index) => eventOf('session.idle', { source: `b${index}` }));
    const many = after(connected('x', a(1)), ...brokers);
    expect(many.sources.length).toBeLessThan(20);
    expect(visibleConnections(many)).toEqual(['x']);
  });
});

describe('what is kept of a source is bounded', () => {
  test('more open connections than are kept make it uncertain, not empty', () => {
    const many = Array.from({ length: 300 }, (_, index) => connected(`c${String(index).padStart(3, '0')}`));
    const crowd = after(...many);
    expect(visibleConnections(crowd)).toHaveLength(sourceLimits.openConnections);
    const left = next(crowd, ...many.map((event) => disconnected((event as { connectionId: string }).connectionId)));
    expect(occupancy(left)).toBe('unknown');
    expect(occupancy(next(left, snapshot([])))).toBe('empty');
    expect(occupancy(after(snapshot(many.map((_, index) => `c${index}`))))).toBe('unknown');
  });

  test('closed connections are forgotten, the oldest first', () => {
    const gone = Array.from({ length: 500 }, (_, index) => disconnected(`c${index}`, { at: index }));
    const { connections } = partOf(after(...gone), 's')!;
    expect(connections).toHaveLength(sourceLimits.closedConnections);
    expect(Math.min(...connections.map(({ atMs }) => atMs ?? 0))).toBe(500 - sourceLimits.closedConnections);
  });
});

const step = fc.record({
  open: fc.boolean(),
  connection: fc.constantFrom('a', 'b', 'c'),
  source: fc.constantFrom('s1', 's2', 's3'),
});
type Step = { open: boolean; connection: string; source: string };
const orders = ['by number', 'by time', 'by both'] as const;

/** The steps in their true order, each numbered within its source, or with the time at which it happened, or with both. */
function happened(steps: readonly Step[], order: (typeof orders)[number]) {
  const numbers = new Map<string, number>();
  return steps.map(({ open, connection, source }, index) => {
    const sequence = (numbers.get(source) ?? 0) + 1;
    numbers.set(source, sequence);
    const said = {
      source,
      sequence: order === 'by time' ? null : sequence,
      at: order === 'by number' ? null : index,
    };
    return open ? connected(connection, said) : disconnected(connection, said);
  });
}

test.each(orders)(
  'in whatever order and however often events arrive, the end is that of their true order: %s',
  (order) => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 30 }), fc.infiniteStream(fc.nat()), (steps, random) => {
        const events = happened(steps, order);
        const shuffled = [...events, ...events]
          .map((event) => ({ event, key: random.next().value as number }))
          .sort((one, other) => one.key - other.key)
          .map(({ event }) => event);
        const presence = after(...shuffled);
        const truth = new Set<string>();
        for (const { open, connection, source } of steps) {
          if (open) truth.add(`${source} ${connection}`);
          else truth.delete(`${source} ${connection}`);
        }
        expect(visibleConnections(presence)).toEqual([...new Set([...truth].map((one) => one.split(' ')[1]!))].sort());
        expect(mayBePresent(presence)).toBe(truth.size > 0);
        if (order !== 'by time') for (const event of events) expect(isStale(presence, event)).toBe(true);
      }),
      { numRuns: 500 },
    );
  },
);

test('as long as any event is missing that may say that somebody is there, nobody is said to be gone', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), fc.nat(), fc.nat(), (steps, left, from) => {
      const events = happened(steps, 'by number');
      const missing = events[left % events.length]!;
      const isLast = !events.some(
        ({ source, sequence }) => source === missing.source && (sequence ?? 0) > (missing.sequence ?? 0),
      );
      const others = events.filter((event) => event !== missing);
      const rotated = [...others.slice(from % events.length), ...others.slice(0, from % events.length)];
      const presence = after(...rotated);
      // That an event is missing shows by one that came after it.
      if (!isLast) expect(occupancy(presence)).not.toBe('empty');
      expect(occupancy(next(presence, missing))).toBe(occupancy(after(...events)));
    }),
    { numRuns: 500 },
  );
});

import { defaultPoolPolicy, type PoolPolicy } from './pool-policy';
import { graceEnd, planFor } from './plan';
import type { DesktopEvent } from './broker-events';
import { nobody, observe, type Presence } from './presence';
import { newSession, type Session } from './session';
import { releasedAt, stormIn, stormOfRestart, type Storm } from './storm';
import { after, announced, connected, disconnected, eventOf, next, saidAtMs } from './told-fixture';

const nowMs = Date.parse('2030-07-01T10:00:00Z'); // a Monday, noon in Berlin
const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

function alone(changes: Partial<Session> = {}): Session {
  const registered = newSession({ desktopId: 'ada', generation: 0, requestedBy: 'anna' }, nowMs);
  const absence = { sinceMs: nowMs, cause: 'user' } as const;
  return { ...registered, machine: 'running', operation: null, presence: nobody, absence, ...changes };
}

const plan = (policy: Partial<PoolPolicy>, changes: Partial<Session> = {}, storms: readonly Storm[] = []) => {
  const found = planFor(alone(changes), { policy: { ...defaultPoolPolicy, ...policy }, storms });
  return found && { ...found, afterMs: found.atMs - nowMs };
};

describe('a grace', () => {
  const byReason = { graceMs: minuteMs, graceMsByReason: { network: hourMs, idle: 0 } };
  const left = (cause: 'user' | 'network' | 'idle') => ({ absence: { sinceMs: nowMs, cause } });

  test('is as long as the reason for the disconnect wants it', () => {
    expect(plan(byReason, left('network'))).toMatchObject({ action: 'save', afterMs: hourMs, wait: 'grace' });
    expect(plan(byReason, left('idle'))?.afterMs).toBe(0);
    expect(plan(byReason, left('user'))?.afterMs).toBe(minuteMs);
  });

  test('is none for a desktop without a user, unless the pool says how long for just that', () => {
    for (const cause of ['unassigned', 'deleted'] as const) {
      const absence = { sinceMs: nowMs, cause };
      expect(plan({ graceMs: hourMs }, { absence })?.afterMs).toBe(0);
      expect(plan({ graceMs: hourMs, graceMsByReason: { [cause]: 5 } }, { absence })?.afterMs).toBe(5);
      expect(plan({ graceMs: hourMs }, { absence, heldUntilMs: nowMs + 7 })?.afterMs).toBe(7);
    }
  });

  test('is as long as the phase of the week wants it, which says so before the pool does', () => {
    const phases = [
      {
        name: 'day',
        days: ['mon'],
        from: '08:00',
        to: '18:00',
        graceMs: 2 * hourMs,
        graceMsByReason: { idle: minuteMs },
      },
    ] as const;
    const scheduled = { ...byReason, schedule: { timeZone: 'Europe/Berlin', phases } };
    expect(plan(scheduled, left('network'))?.afterMs).toBe(2 * hourMs);
    expect(plan(scheduled, left('idle'))?.afterMs).toBe(minuteMs);
    expect(plan({ ...scheduled, schedule: { timeZone: 'Asia/Tokyo', phases } }, left('network'))?.afterMs).toBe(hourMs);
  });

  test('of an afternoon ends when a night with short ones begins, and one of the night becomes one of the day', () => {
    const schedule = {
      timeZone: 'Europe/Berlin',
      phases: [
        { name: 'day', days: ['mon', 'tue'], from: '08:00', to: '18:00', graceMs: 4 * hourMs },
        { name: 'night', days: ['mon', 'tue'], from: '18:00', to: '08:00', graceMs: 5 * minuteMs },
      ],
    } as const;
    const endOf = (at: string) =>
      new Date(graceEnd({ ...defaultPoolPolicy, schedule }, { sinceMs: Date.parse(at), cause: 'user' })).toISOString();
    expect(endOf('2030-07-01T10:00:00Z')).toBe('2030-07-01T14:00:00.000Z');
    expect(endOf('2030-07-01T14:30:00Z')).toBe('2030-07-01T16:00:00.000Z'); // 18:00 in Berlin
    expect(endOf('2030-07-01T15:58:00Z')).toBe('2030-07-01T16:03:00.000Z');
    expect(endOf('2030-07-02T05:58:00Z')).toBe('2030-07-02T09:58:00.000Z'); // the day has begun before it was over
  });

  test('that lasts over the night on which the clock is set back is as long as any other', () => {
    const phases = [
      { name: 'always', days: ['sat', 'sun'], from: '00:00', to: '24:00', graceMs: 20 * hourMs },
    ] as const;
    const sinceMs = Date.parse('2030-10-26T12:00:00Z');
    const policy = { ...defaultPoolPolicy, schedule: { timeZone: 'Europe/Berlin', phases } };
    expect(graceEnd(policy, { sinceMs, cause: 'user' })).toBe(sinceMs + 20 * hourMs);
  });
});

test('what takes longest decides', () => {
  const waits = { wokeAtMs: nowMs, heldUntilMs: nowMs + 3 * hourMs };
  expect(plan({ minResidencyMs: hourMs }, { wokeAtMs: nowMs })).toMatchObject({ afterMs: hourMs, wait: 'residency' });
  expect(plan({ minResidencyMs: hourMs }, waits)).toMatchObject({ afterMs: 3 * hourMs, wait: 'hold' });
});

test('a pool that puts nothing to sleep has no plan, and one that waits for its first user has none either', () => {
  expect(plan({ neverSave: true })).toBeNull();
  expect(plan({}, { absence: null })).toBeNull();
});

describe('a logoff', () => {
  const loggedOff = { absence: { sinceMs: nowMs, cause: 'logoff' } } as const;
  const logoff = (action: 'save' | 'power-off') => ({ graceMs: hourMs, logoff: { action, settleMs: 3_000 } });

  test('leads to what the pool says, after the time in which a disconnect and a logoff come together', () => {
    expect(plan(logoff('power-off'), loggedOff)).toMatchObject({ action: 'stop', afterMs: 3_000, wait: 'settling' });
    expect(plan(logoff('save'), loggedOff)).toMatchObject({ action: 'save', afterMs: 3_000, wait: 'settling' });
  });

  test('powers off although the pool puts nothing to sleep, and not while the desktop is held', () => {
    expect(plan({ ...logoff('power-off'), neverSave: true }, loggedOff)).toMatchObject({ action: 'stop' });
    const held = plan(logoff('power-off'), { ...loggedOff, heldUntilMs: nowMs + hourMs });
    expect(held).toMatchObject({ action: 'stop', afterMs: hourMs, wait: 'hold' });
  });

  test('is a disconnect like any other where the pool says nothing of it', () => {
    expect(plan({ graceMs: hourMs }, loggedOff)).toMatchObject({ action: 'save', afterMs: hourMs });
  });

  test('may still follow a disconnect, which is therefore not acted upon before', () => {
    expect(plan({ ...logoff('power-off'), graceMs: 0 })).toMatchObject({ action: 'save', afterMs: 3_000 });
  });
});

describe('a storm', () => {
  const policy = { percent: 30, withinMs: minuteMs, atLeast: 10, graceMs: 10 * minuteMs, perMinute: 5 };
  const tally = { broker: null, left: 40, inUse: 100 };
  const storm = stormIn(policy, tally, [], nowMs)!;

  test('is when more than the share has left, and enough of them', () => {
    expect(storm).toMatchObject({ cause: 'many_left', fromMs: nowMs - minuteMs, untilMs: nowMs + 10 * minuteMs });
    expect(stormIn(policy, { ...tally, left: 30 }, [], nowMs)).toBeNull();
    expect(stormIn(policy, { ...tally, left: 9, inUse: 9 }, [], nowMs)).toBeNull();
  });

  test('is one, also when all of a broker’s desktops are in it', () => {
    expect(stormIn(policy, tally, [storm], nowMs + 1)).toBeNull();
    expect(stormIn(policy, { ...tally, broker: '/b' }, [storm], nowMs + 1)).toBeNull();
    expect(stormIn(policy, tally, [storm], storm.untilMs + 1)).not.toBeNull();
  });

  test('keeps whoever left in it, and nobody else', () => {
    expect(plan({}, {}, [storm])).toMatchObject({ wait: 'storm' });
    expect(plan({}, { absence: { sinceMs: storm.fromMs - 1, cause: 'user' } }, [storm])?.wait).toBe('grace');
    expect(plan({}, { absence: { sinceMs: storm.untilMs + 1, cause: 'user' } }, [storm])?.wait).toBe('grace');
    const ofBroker = stormOfRestart(policy, { ...tally, broker: '/b' }, [], nowMs)!;
    const leftBy = (source: string) => ({ presence: after(connected('1', { source }), disconnected('1', { source })) });
    expect(plan({}, leftBy('/b'), [ofBroker])).toMatchObject({ wait: 'storm' });
    expect(plan({}, leftBy('/c'), [ofBroker])?.wait).toBe('grace');
  });

  test('of a broker keeps those whose last user came by it, whoever has spoken since', () => {
    const ofBroker = stormOfRestart(policy, { ...tally, broker: '/b' }, [], nowMs)!;
    const later = (presence: Presence, event: DesktopEvent) =>
      observe(presence, event, { nowMs: saidAtMs + 1, hasMachine: true })!;
    const both = after(connected('1', { source: '/b' }), connected('2', { source: '/c' }));
    const leftB = disconnected('1', { source: '/b' });
    const leftC = disconnected('2', { source: '/c' });
    const bLast = later(later(next(both, leftC), leftB), eventOf('session.logged_off', { source: '/c' }));
    const cLast = later(later(next(both, leftB), leftC), eventOf('session.logged_off', { source: '/b' }));
    expect(plan({}, { presence: bLast }, [ofBroker])).toMatchObject({ wait: 'storm' });
    expect(plan({}, { presence: cLast }, [ofBroker])?.wait).toBe('grace');
    expect(plan({}, { presence: after(announced({ source: '/b' })) }, [ofBroker])).toMatchObject({ wait: 'storm' });
  });

  test('lets go about as many a minute as the pool allows, each at a time of its own', () => {
    const desktops = 2_000;
    const many = stormIn(policy, { broker: null, left: desktops, inUse: desktops }, [], nowMs)!;
    const absence = { sinceMs: nowMs, cause: 'network' } as const;
    const perMinute = new Map<number, number>();
    for (let index = 0; index < desktops; index += 1) {
      const desktopId = `desk-${index}`;
      const atMs = releasedAt([many], { desktopId, presence: nobody, absence })!;
      expect(releasedAt([many], { desktopId, presence: nobody, absence })).toBe(atMs);
      const minute = Math.floor((atMs - many.untilMs) / minuteMs);
      perMinute.set(minute, (perMinute.get(minute) ?? 0) + 1);
    }
    const minutes = desktops / policy.perMinute;
    expect(Math.min(...perMinute.keys())).toBe(0);
    expect(Math.max(...perMinute.keys())).toBeLessThan(minutes);
    expect(Math.max(...perMinute.values())).toBeLessThan(policy.perMinute * 4);
    for (let minute = 0; minute + 20 <= minutes; minute += 20) {
      const inTwenty = Array.from({ length: 20 }, (_, more) => perMinute.get(minute + more) ?? 0);
      const total = inTwenty.reduce((sum, one) => sum + one, 0);
      expect(total).toBeGreaterThan(20 * policy.perMinute * 0.6);
      expect(total).toBeLessThan(20 * policy.perMinute * 1.4);
    }
  });
});

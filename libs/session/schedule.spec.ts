import * as fc from 'fast-check';
import { absenceCauses } from './session';
import { graceEnd } from './plan';
import type { PoolPolicy } from './pool-policy';
import { dayNames, type Phase, type Schedule } from './pool-policy';
import { periodsFrom, type Period } from './schedule';

const phase = (name: string, from: string, to: string, days: Phase['days']): Phase => ({ name, from, to, days });
const workdays = ['mon', 'tue', 'wed', 'thu', 'fri'] as const;

const berlin: Schedule = {
  timeZone: 'Europe/Berlin',
  holidays: ['2030-12-25'],
  phases: [
    phase('holiday', '00:00', '24:00', ['holiday']),
    phase('day', '08:00', '18:00', workdays),
    phase('night', '18:00', '08:00', workdays),
  ],
};

const nameAt = (at: string, schedule = berlin) => firstPeriod(schedule, Date.parse(at)).phase?.name ?? null;

function firstPeriod(schedule: Schedule, atMs: number): Period {
  return periodsFrom(schedule, atMs).next().value;
}

test.each([
  ['a summer morning, UTC+2', '2030-07-02T05:59:59Z', 'night'],
  ['… when its day begins', '2030-07-02T06:00:00Z', 'day'],
  ['a winter morning, UTC+1', '2030-01-07T06:59:59Z', null],
  ['… when its day begins', '2030-01-07T07:00:00Z', 'day'],
  ['the end of a day, which is not part of it', '2030-01-07T17:00:00Z', 'night'],
  ['Saturday morning, which belongs to the night of Friday', '2030-01-12T06:59:59Z', 'night'],
  ['Saturday', '2030-01-12T07:00:00Z', null],
  ['a holiday that is a Wednesday', '2030-12-25T10:00:00Z', 'holiday'],
  ['the first minute of it, in its own time zone', '2030-12-24T23:00:00Z', 'holiday'],
  ['the minute before, in the night of the day before', '2030-12-24T22:59:59Z', 'night'],
  ['the morning after, no night having begun on the holiday', '2030-12-26T05:00:00Z', null],
])('%s', (_, at, name) => {
  expect(nameAt(at)).toBe(name);
});

test('an hour that the clock shows twice belongs to its phase twice, one it leaves out to none', () => {
  const early: Schedule = { timeZone: 'Europe/Berlin', phases: [phase('early', '02:00', '03:00', ['sun'])] };
  expect(nameAt('2030-10-27T00:30:00Z', early)).toBe('early'); // 02:30 summer time
  expect(nameAt('2030-10-27T01:30:00Z', early)).toBe('early'); // 02:30 winter time
  expect(nameAt('2030-10-27T02:00:00Z', early)).toBe(null);
  expect(nameAt('2030-03-31T00:59:59Z', early)).toBe(null); // 01:59:59, and then it is 03:00
  expect(nameAt('2030-03-31T01:00:00Z', early)).toBe(null);
});

const zones = [
  'Europe/Berlin',
  'America/New_York',
  'America/Havana', // set at midnight
  'America/Sao_Paulo', // was set at midnight too
  'Africa/Casablanca', // set twice for Ramadan
  'Australia/Lord_Howe', // by half an hour
  'Asia/Kathmandu',
  'Pacific/Apia', // has left out 2011-12-30
  'UTC',
];

test.each(zones)('in %s one period follows the other, over a year, and each has one phase', (timeZone) => {
  const schedule = { ...berlin, timeZone };
  const [startMs, endMs] = [Date.parse('2030-01-01T00:00:00Z'), Date.parse('2031-01-01T00:00:00Z')];
  let count = 0;
  let atMs = startMs;
  for (const { phase: held, fromMs, untilMs } of periodsFrom(schedule, startMs)) {
    expect(fromMs).toBe(atMs);
    expect(untilMs).toBeGreaterThan(fromMs);
    for (const withinMs of [fromMs, (fromMs + untilMs) / 2, untilMs - 1]) {
      if (phaseAt(schedule, withinMs) !== held) throw new Error(new Date(withinMs).toISOString());
    }
    count += 1;
    if ((atMs = untilMs) > endMs) break;
  }
  expect(count).toBeLessThan(365 * 3 + 30);
});

const minuteMs = 60_000;
const timeOfDay = (most: number) =>
  fc.integer({ min: 0, max: most }).map((minutes) => {
    const [hour, minute] = [Math.floor(minutes / 60), minutes % 60].map((part) => String(part).padStart(2, '0'));
    return `${hour}:${minute}`;
  });
const grace = fc.integer({ min: 0, max: 36 * 60 }).map((minutes) => minutes * minuteMs);
const instant = fc.integer({ min: Date.parse('2009-01-01T00:00:00Z'), max: Date.parse('2032-01-01T00:00:00Z') });
const anyPhase = fc
  .record({
    name: fc.string({ minLength: 1, maxLength: 3 }),
    days: fc.uniqueArray(fc.constantFrom(...dayNames), { minLength: 1 }),
    from: timeOfDay(24 * 60 - 1),
    to: timeOfDay(24 * 60),
    graceMs: grace,
  })
  .filter(({ from, to }) => from !== to);

test('a grace ends when it does for one who looks at the clock every minute', () => {
  fc.assert(
    fc.property(
      fc.record({ timeZone: fc.constantFrom(...zones), phases: fc.array(anyPhase, { minLength: 1, maxLength: 6 }) }),
      fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }),
      grace,
      fc.constantFrom(...absenceCauses),
      fc.oneof(instant, instantBesideAChange()),
      (drawn, holidaysAfter, graceMs, cause, sinceMs) => {
        const dayMs = 24 * 60 * minuteMs;
        const holidays = holidaysAfter.map((day) => new Date(sinceMs + day * dayMs).toISOString().slice(0, 10));
        const policy: PoolPolicy = { graceMs, keepCheckpoints: 2, schedule: { ...drawn, holidays } };
        expect(graceEnd(policy, { sinceMs, cause })).toBe(steppedGraceEnd(policy, sinceMs, cause));
      },
    ),
    { numRuns: 150 },
  );
});

/** Near the moments at which the clocks of some of the zones are set, or a day is left out. */
function instantBesideAChange(): fc.Arbitrary<number> {
  const changes = [
    '2030-03-31T01:00:00Z',
    '2030-10-27T01:00:00Z',
    '2030-03-10T05:00:00Z',
    '2030-11-03T05:00:00Z',
    '2011-12-30T10:00:00Z',
    '2018-02-18T02:00:00Z',
    '2026-02-15T02:00:00Z',
    '2030-04-06T15:00:00Z',
  ].map((at) => Date.parse(at));
  return fc
    .tuple(fc.constantFrom(...changes), fc.integer({ min: -3 * 24 * 60, max: 3 * 60 }))
    .map(([changeMs, minutes]) => changeMs + minutes * minuteMs);
}

/** Slow and plain: the phase is looked up anew every minute. */
function steppedGraceEnd(policy: PoolPolicy, sinceMs: number, cause: (typeof absenceCauses)[number]): number {
  const graceAt = (atMs: number): number => {
    const held = phaseAt(policy.schedule!, atMs);
    const without = cause === 'unassigned' || cause === 'deleted';
    return without ? 0 : (held?.graceMs ?? policy.graceMs);
  };
  for (let atMs = sinceMs; ;) {
    const endMs = Math.max(atMs, sinceMs + graceAt(atMs));
    const nextMs = (Math.floor(atMs / minuteMs) + 1) * minuteMs;
    if (endMs < nextMs) return endMs;
    atMs = nextMs;
  }
}

function phaseAt(schedule: Schedule, atMs: number): Phase | null {
  const localMs = wallClock(schedule.timeZone, atMs);
  return schedule.phases.find((one) => holds(one, schedule, localMs)) ?? null;
}

function holds({ days, from, to }: Phase, { holidays = [] }: Schedule, localMs: number): boolean {
  const [date, time] = new Date(localMs).toISOString().split('T') as [string, string];
  const before = new Date(localMs - 24 * 60 * minuteMs).toISOString().slice(0, 10);
  const isOn = (day: string): boolean =>
    days.includes(holidays.includes(day) ? 'holiday' : dayNames[new Date(day).getUTCDay()]!);
  if (from < to) return time >= from && time.slice(0, 5) < to && isOn(date);
  return (time >= from && isOn(date)) || (time.slice(0, 5) < to && isOn(before));
}

const formats = new Map<string, Intl.DateTimeFormat>();

/** What the clock on the wall shows, as if it were UTC. */
function wallClock(timeZone: string, atMs: number): number {
  const format =
    formats.get(timeZone) ??
    new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short', timeStyle: 'medium', hourCycle: 'h23' });
  formats.set(timeZone, format);
  return Date.parse(`${format.format(atMs).replace(' ', 'T')}Z`) + (((atMs % 1_000) + 1_000) % 1_000);
}

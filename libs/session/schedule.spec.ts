import { phaseAt, steadyUntil, type Phase, type Schedule } from './schedule';

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

const nameAt = (at: string, schedule = berlin) => phaseAt(schedule, Date.parse(at))?.name ?? null;

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

test.each(['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kathmandu', 'UTC'])(
  'in %s no phase begins or ends between an instant and the one it is steady until, over a year',
  (timeZone) => {
    const schedule = { ...berlin, timeZone };
    const minuteMs = 60_000;
    const endMs = Date.parse('2031-01-01T00:00:00Z');
    let steps = 0;
    for (let atMs = Date.parse('2030-01-01T00:00:00Z'); atMs < endMs; steps += 1) {
      const untilMs = steadyUntil(schedule, atMs);
      expect(untilMs).toBeGreaterThan(atMs);
      const middle = phaseAt(schedule, (atMs + untilMs) / 2)?.name;
      const last = phaseAt(schedule, untilMs - 1)?.name;
      if (middle !== phaseAt(schedule, atMs)?.name || last !== middle) throw new Error(new Date(atMs).toISOString());
      if (untilMs - atMs >= minuteMs) expect(phaseAt(schedule, untilMs - minuteMs)?.name).toBe(last);
      atMs = untilMs;
    }
    // Three edges a day, and a few more steps on the days on which the clock is set.
    expect(steps).toBeLessThan(365 * 3 + 400);
  },
);

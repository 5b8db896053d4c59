import { defaultPoolPolicy, parsePoolPolicy, type PoolPolicy } from './pool-policy';

const full: PoolPolicy = {
  graceMs: 0,
  graceMsByReason: { network: 600_000, unused: 30_000, unassigned: 60_000 },
  schedule: {
    timeZone: 'Europe/Berlin',
    holidays: ['2030-12-25'],
    phases: [
      { name: 'night', days: ['mon', 'holiday'], from: '18:00', to: '08:00', graceMs: 5, graceMsByReason: { idle: 0 } },
      { name: 'weekend', days: ['sat', 'sun'], from: '00:00', to: '24:00' },
    ],
  },
  keepCheckpoints: 3,
  keepCheckpointsForMs: 86_400_000,
  minResidencyMs: 5_000,
  lingerMs: 30_000,
  logoff: { action: 'power-off', settleMs: 2_000 },
  neverSave: false,
  storm: { percent: 50, withinMs: 30_000, atLeast: 5, graceMs: 900_000, perMinute: 10 },
  caps: { running: 500, waking: 20, saving: 10 },
};

test('a policy is read back as it was given', () => {
  expect(parsePoolPolicy(full)).toEqual(full);
  expect(parsePoolPolicy(defaultPoolPolicy)).toEqual(defaultPoolPolicy);
});

test('what a storm is and how long a logoff settles need not be said', () => {
  expect(parsePoolPolicy({ ...defaultPoolPolicy, storm: {}, logoff: { action: 'save' } })).toEqual({
    ...defaultPoolPolicy,
    storm: { percent: 30, withinMs: 60_000, atLeast: 20, graceMs: 600_000, perMinute: 60 },
    logoff: { action: 'save', settleMs: 3_000 },
  });
});

const phase = full.schedule!.phases[1]!;
const scheduled = (changes: object) => ({ ...full, schedule: { ...full.schedule, ...changes } });

test.each<[string, object]>([
  ['graceMs', { keepCheckpoints: 2 }],
  ['graceMs', { graceMs: -1, keepCheckpoints: 2 }],
  ['graceMs', { graceMs: Number.NaN, keepCheckpoints: 2 }],
  ['graceMsByReason.bored', { ...full, graceMsByReason: { bored: 1 } }],
  ['graceMsByReason.user', { ...full, graceMsByReason: { user: 1.5 } }],
  ['keepCheckpoints', { graceMs: 1, keepCheckpoints: 0 }],
  ['keepCheckpointsForMs', { graceMs: 1, keepCheckpoints: 1, keepCheckpointsForMs: -1 }],
  ['minResidencyMs', { graceMs: 1, keepCheckpoints: 1, minResidencyMs: '5' }],
  ['graceSeconds', { graceMs: 1, keepCheckpoints: 1, graceSeconds: 5 }],
  ['graceMsByReason.logoff', { ...full, graceMsByReason: { logoff: 1 } }],
  ['caps.sleeping', { ...full, caps: { sleeping: 1 } }],
  ['caps.saving', { ...full, caps: { saving: 0 } }],
  ['logoff.action', { ...full, logoff: { action: 'reboot' } }],
  ['logoff.settleMs', { ...full, logoff: { action: 'save', settleMs: 60_000 } }],
  ['neverSave', { ...full, neverSave: 'yes' }],
  ['storm.percent', { ...full, storm: { percent: 0 } }],
  ['brokers', { ...full, brokers: 'all' }],
  ['brokers', { ...full, brokers: [] }],
  ['brokers.0', { ...full, brokers: [' '] }],
  ['schedule.timeZone', scheduled({ timeZone: 'Europe/Atlantis' })],
  ['schedule.holidays.0', scheduled({ holidays: ['2030-02-30'] })],
  ['schedule.phases', scheduled({ phases: [] })],
  ['schedule.phases.0.from', scheduled({ phases: [{ ...phase, from: '24:00' }] })],
  ['schedule.phases.0.to', scheduled({ phases: [{ ...phase, to: phase.from }] })],
  ['schedule.phases.0.days.0', scheduled({ phases: [{ ...phase, days: ['monday'] }] })],
])('a policy with a bad or unknown %s is refused by name', (field, policy) => {
  expect(() => parsePoolPolicy(policy)).toThrow(
    expect.objectContaining({
      code: 'REQUEST_INVALID',
      details: { problems: expect.arrayContaining([expect.stringMatching(`^${field} `)]) as unknown },
      message: expect.stringContaining(field),
    }),
  );
});

test('all that is wrong is told at once, in words', () => {
  const policy = { keepCheckpoints: 0, storm: { percent: 'half' }, consents: ['reboot'], speed: 1 };
  expect(() => parsePoolPolicy(policy)).toThrow(
    expect.objectContaining({
      details: {
        problems: [
          'graceMs is required',
          'keepCheckpoints must be a whole number from 1 to 100',
          'consents.0 must be one of own-checkpoint, older-checkpoint, cold-boot',
          'storm.percent must be a whole number from 1 to 100',
          'speed is not a field here',
        ],
      },
    }),
  );
});

test('what is no object is refused', () => {
  for (const value of [null, [], 'x', 3]) expect(() => parsePoolPolicy(value)).toThrow('a pool policy is an object');
});

import fc from 'fast-check';
import { decide } from './decide';
import type { DesktopEvent } from './broker-events';
import { explain, type Circumstances } from './explain';
import { happeningsOf } from './happenings-fixture';
import type { Pool } from './plan';
import { defaultPoolPolicy } from './pool-policy';
import { nobody } from './presence';
import { newSession, type Session } from './session';
import { World } from './world-fixture';

const nowMs = Date.parse('2030-07-01T08:00:00Z');
const minuteMs = 60_000;
const pool: Pool = { policy: defaultPoolPolicy, storms: [] };
const usual: Circumstances = {
  reason: null,
  waitingFor: null,
  hostId: 'host-1',
  hostSilentSinceMs: null,
  draining: null,
  rungs: [],
  condition: null,
  waitingForStorage: null,
};

function wakingForOps(): Session {
  const sleeping = running({ machine: 'saved', checkpointed: true });
  const request = { type: 'request', kind: 'restore', reason: 'morning', requestedBy: 'key:ops' } as const;
  return decide(sleeping, request, pool, nowMs).session;
}

function running(changes: Partial<Session> = {}): Session {
  const registered = newSession({ desktopId: 'ada', generation: 0, requestedBy: 'anna' }, nowMs);
  return { ...registered, machine: 'running', operation: null, presence: nobody, accepted: true, ...changes };
}

function after(session: Session, type: DesktopEvent['type'], fields: object = {}, under: Pool = pool): Session {
  const base = { id: 'x', source: '/b', brokerEpoch: 'e1', occurredAt: null, data: {}, poolId: null, userRef: null };
  const event = {
    ...base,
    desktopId: 'ada',
    type,
    connectionId: 'c1',
    reason: 'user',
    ...fields,
  } as unknown as DesktopEvent;
  return decide(session, { type: 'broker', event }, under, nowMs).session;
}

const known = after(running(), 'vdc.broker.snapshot', { sequence: 15, connectionIds: [] });
const inUse = after(known, 'vdc.session.connected', { sequence: 16 });

test('a desktop in use says who is there, and that nothing is going to happen', () => {
  expect(explain(inUse, pool, usual)).toMatchObject({
    sentence:
      'The desktop runs since 2030-07-01T08:00:00Z. A user is there (c1). ' +
      'Nothing else is going to happen until its user leaves.',
    next: { what: 'nothing' },
    hindrances: [],
  });
});

test('a grace says since when, why, and when it ends', () => {
  const left = after(inUse, 'vdc.session.disconnected', { sequence: 17, reason: 'network' });
  expect(explain(left, pool, usual)).toMatchObject({
    sentence:
      'The desktop runs and waits for its user since 2030-07-01T08:00:00Z. ' +
      'Nobody is there since 2030-07-01T08:00:00Z: the network has broken off. ' +
      'It is saved at 2030-07-01T08:01:00Z unless somebody comes.',
    occupancySinceMs: nowMs,
    absenceCause: 'network',
    next: { what: 'save', when: 'time', atMs: nowMs + minuteMs },
  });
});

test('a wake that failed is tried again for a user who is there, and it says when', () => {
  const error = { code: 'STORAGE_FAILED', message: 'the storage does not answer', details: {} } as const;
  const waking = decide(
    { ...wakingForOps(), presence: inUse.presence },
    { type: 'claimed', generation: 2 },
    pool,
    nowMs,
  );
  const { generation } = waking.session;
  const failed = { type: 'operation_finished', generation, status: 'failed', error } as const;
  expect(explain(decide(waking.session, failed, pool, nowMs).session, pool, usual)).toMatchObject({
    sentence:
      'The desktop sleeps since 2030-07-01T08:00:00Z. A user is there (c1). ' +
      'It is woken at 2030-07-01T08:00:05Z if its user is still there. What went wrong last: the storage does not answer.',
    next: { what: 'restore', when: 'time', atMs: nowMs + 5_000 },
  });
});

test('missing events are named, and that no save begins for want of them', () => {
  const gap = after(inUse, 'vdc.session.disconnected', { sequence: 19 });
  expect(explain(gap, pool, usual)).toMatchObject({
    sentence:
      'The desktop runs since 2030-07-01T08:00:00Z. It is not known since 2030-07-01T08:00:00Z who is there, because ' +
      'events 17–18 of epoch e1 of the broker /b are missing; that ends when it sends what is missing, or vdc.broker.snapshot for this desktop, ' +
      'or with `dormouse broker retire /b` if it is gone for good. It runs on for as long as that is not known. No save begins ' +
      'before it is known that nobody is there; an admin who knows it has it saved by `dormouse desktop save ada --force`.',
    doubts: [{ kind: 'missing', source: '/b', brokerEpoch: 'e1', gaps: [[17, 18]] }],
    hindrances: [{ code: 'PRESENCE_UNKNOWN' }],
  });
  const more = after(gap, 'vdc.session.idle', { sequence: 21 });
  expect(explain(more, pool, usual).doubts).toMatchObject([
    {
      gaps: [
        [17, 18],
        [20, 20],
      ],
    },
  ]);
});

test('a broker that has begun anew is what only its snapshot can mend', () => {
  const restarted = after(inUse, 'vdc.session.idle', { brokerEpoch: 'e2', sequence: 1 });
  const { sentence, doubts } = explain(restarted, pool, usual);
  expect(sentence).toContain('the broker /b has begun anew after epoch e1; its vdc.broker.snapshot');
  expect(doubts).toEqual([{ kind: 'lost', source: '/b', brokerEpoch: 'e2', afterEpoch: 'e1' }]);
});

test('what keeps a desktop up is named by its code, and when it lets go', () => {
  const storm = {
    broker: null,
    cause: 'many_left',
    left: 4,
    inUse: 5,
    fromMs: nowMs - 1,
    untilMs: nowMs + 2 * minuteMs,
    spreadMs: 0,
  } as const;
  const cases: [string, Pool, Partial<Session>][] = [
    ['STORM', { ...pool, storms: [storm] }, {}],
    ['DESKTOP_HELD', pool, { heldUntilMs: nowMs + 60 * minuteMs }],
    ['RESIDENCY', { ...pool, policy: { ...defaultPoolPolicy, minResidencyMs: 60 * minuteMs } }, { wokeAtMs: nowMs }],
    [
      'SETTLING',
      { ...pool, policy: { ...defaultPoolPolicy, graceMs: 0, logoff: { action: 'save', settleMs: 3_000 } } },
      {},
    ],
  ];
  for (const [code, under, changes] of cases) {
    const left = after({ ...inUse, ...changes }, 'vdc.session.disconnected', { sequence: 17 }, under);
    const { hindrances, next, sentence } = explain(left, under, usual);
    expect(hindrances).toEqual([expect.objectContaining({ code })]);
    expect(next.atMs).toBe(left.deadlineMs);
    expect(sentence).toContain(hindrances[0]!.sentence);
  }
  const never: Pool = { ...pool, policy: { ...defaultPoolPolicy, neverSave: true } };
  const left = after(inUse, 'vdc.session.disconnected', { sequence: 17 }, never);
  expect(explain(left, never, usual)).toMatchObject({
    next: { what: 'nothing' },
    hindrances: [{ code: 'POLICY_FORBIDS' }],
  });
  expect(explain(running(), pool, usual).hindrances).toMatchObject([{ code: 'FIRST_USER' }]);
});

test('an operation says who asked for it, and that its host is silent when it is', () => {
  const waking = wakingForOps();
  const silent = { ...usual, reason: 'morning', hostSilentSinceMs: nowMs - minuteMs };
  expect(explain(waking, pool, silent)).toMatchObject({
    sentence:
      'The desktop is being woken since 2030-07-01T08:00:00Z (restore, asked for by key:ops: morning). Nobody is there. ' +
      'It is woken as soon as its worker has done it. ' +
      'Nothing has been heard of the worker of host-1 since 2030-07-01T07:59:00Z: the restore waits for it. ' +
      'Start it; if the host is off for good: `dormouse host fence host-1`.',
    hindrances: [{ code: 'HOST_UNAVAILABLE' }],
  });
});

test('a desktop that cannot be woken says what can be consented to, and what each step loses', () => {
  const blocked = running({
    machine: 'restore-blocked',
    checkpointed: true,
    lastError: { code: 'CHECKPOINT_CORRUPT', message: 'a pack is damaged', details: {} },
  });
  const rungs = [
    { to: 'older-checkpoint', checkpointId: 'c1', asOfMs: nowMs - minuteMs, failed: false },
    { to: 'cold-boot', checkpointId: null, asOfMs: nowMs, failed: true },
  ] as const;
  const { sentence, choices } = explain(blocked, pool, { ...usual, rungs });
  expect(sentence).toBe(
    'The desktop sleeps and cannot be woken without an operator since 2030-07-01T08:00:00Z. Nobody is there. ' +
      'It is woken when an operator asks for it. What went wrong last: a pack is damaged. ' +
      'Gone back to its checkpoint of 2030-07-01T07:59:00Z, it loses what was done after that, in memory and on disk: ' +
      '`dormouse desktop consent ada older-checkpoint`. ' +
      'Booted from its disk as it was at 2030-07-01T08:00:00Z, it loses what was only in its memory; it was tried and failed: ' +
      '`dormouse desktop consent ada cold-boot`.',
  );
  expect(choices.map(({ rung }) => rung)).toEqual(rungs);
});

test('a desktop that nobody has used since it was woken may go back to its checkpoint instead, if its pool wants it so', () => {
  const woken = running({ machine: 'grace', checkpointed: true, untouched: true, deadlineMs: nowMs + minuteMs });
  const unused = { ...woken, absence: { sinceMs: nowMs, cause: 'unused' } } as const;
  const forgets: Pool = { ...pool, policy: { ...defaultPoolPolicy, forgetUnused: true } };
  const told = 'If it has written nothing to its disks by then it goes back to its checkpoint instead';
  expect(explain(unused, forgets, usual).sentence).toContain(told);
  for (const [session, under] of [
    [unused, pool],
    [{ ...unused, untouched: false }, forgets],
  ] as const) {
    expect(explain(session, under, usual).sentence).not.toContain(told);
  }
});

test('a drain that tries again, and one that no longer does, are told of', () => {
  const failed = { code: 'STORAGE_FAILED', message: 'the storage is away', details: {} } as const;
  const inVain = { ...inUse, saveFailures: 1, lastError: failed };
  const draining = { stays: null, atMs: nowMs + minuteMs } as const;
  expect(explain(inVain, pool, { ...usual, draining })).toMatchObject({
    sentence: expect.stringContaining('It is saved at 2030-07-01T08:01:00Z, whoever is there.') as unknown,
    next: { what: 'save', when: 'time', atMs: nowMs + minuteMs },
    hindrances: [{ code: 'STORAGE_FAILED' }, { code: 'DRAINING' }],
  });
  const stays = (why: 'its saves fail' | 'no other host') =>
    explain({ ...inVain, saveFailures: 3 }, pool, { ...usual, draining: { ...draining, stays: why } }).sentence;
  expect(stays('its saves fail')).toContain('the drain no longer tries to save it: 3 saves in a row have failed.');
  expect(stays('no other host')).toContain('no other host can take it.');
});

/** Whatever the ledger can act on, or wait for, with the words that tell of it. */
const reasons: [string, Session, Pool, Partial<Circumstances>, string][] = [
  ['a silent host that nothing is under way on', inUse, pool, { hostSilentSinceMs: nowMs }, 'HOST_UNAVAILABLE'],
  ['a silent host with an operation', wakingForOps(), pool, { hostSilentSinceMs: nowMs }, 'HOST_UNAVAILABLE'],
  ['no host', wakingForOps(), pool, { waitingFor: { what: 'host', inWords: 'a host' } }, 'HOST_UNAVAILABLE'],
  ['a full pool', wakingForOps(), pool, { waitingFor: { what: 'pool', inWords: 'its pool' } }, 'POOL_FULL'],
  ['a storage that is away', wakingForOps(), pool, { waitingForStorage: 'timed out' }, 'STORAGE_FAILED'],
  ['a drain', inUse, pool, { draining: { stays: null, atMs: nowMs } }, 'DRAINING'],
  [
    'a save that did not converge',
    { ...inUse, lastError: { code: 'NOT_CONVERGING', message: 'too fast', details: {} } },
    pool,
    {},
    'NOT_CONVERGING',
  ],
  ['a first user', running(), pool, {}, 'FIRST_USER'],
];

test.each(reasons)('%s is among the hindrances', (_, session, under, circumstances, code) => {
  const { hindrances, sentence } = explain(session, under, { ...usual, ...circumstances });
  expect(hindrances.map((one) => one.code)).toContain(code);
  for (const hindrance of hindrances) expect(sentence).toContain(hindrance.sentence);
});

test('what an operation waits for is said, and whose it is', () => {
  const waking = wakingForOps();
  const inWords = 'its pool office, which has 4 of 4 desktops that wake';
  expect(explain(waking, pool, { ...usual, waitingFor: { what: 'pool', inWords } }).hindrances).toEqual([
    { code: 'POOL_FULL', sentence: `It waits for ${inWords}.` },
  ]);
  expect(explain(waking, pool, { ...usual, waitingFor: { what: 'host', inWords: 'a host' } }).hindrances).toEqual([
    { code: 'HOST_UNAVAILABLE', sentence: 'It waits for a host.' },
  ]);
});

test('a user who is idle, and a desktop that its broker has deleted, are told of', () => {
  const idle = after(inUse, 'vdc.session.idle', { sequence: 17 });
  expect(explain(idle, pool, usual).sentence).toContain('A user is there (c1), idle since 2030-07-01T08:00:00Z.');
  const deleted = after(inUse, 'vdc.desktop.deleted', { sequence: 17 });
  expect(explain(deleted, pool, usual).hindrances).toEqual([
    {
      code: 'BROKER_DELETED',
      sentence: 'Its broker has deleted it: `dormouse desktop delete ada` removes what is kept of it.',
    },
  ]);
});

test('memory that waits for the storage is told of, with what the storage says', () => {
  const waking = wakingForOps();
  const { hindrances } = explain(waking, pool, { ...usual, waitingForStorage: 'reading timed out' });
  expect(hindrances).toEqual([
    { code: 'STORAGE_FAILED', sentence: expect.stringMatching(/^Its memory waits .*: reading timed out\.$/) },
  ]);
});

test('whatever has happened to a desktop, it is explained in whole sentences', () => {
  fc.assert(
    fc.property(fc.nat(), (seed) => {
      const world = new World();
      for (const next of happeningsOf(seed)) {
        world.happens(next);
        const { sentence } = explain(world.session, world.pool, usual);
        expect(sentence).toMatch(/^[A-Z].*\.$/);
        expect(sentence).not.toMatch(/undefined|null|NaN|\.\.|\s{2}/);
      }
    }),
    { numRuns: 300 },
  );
});

test('what QEMU says of a guest is told with what to do, before all else', () => {
  const condition = {
    kind: 'io-error',
    since: '2030-01-01T00:00:00Z',
    about: 'write of disk0: there is no room left',
  } as const;
  const { hindrances } = explain(running(), pool, { ...usual, condition });
  expect(hindrances[0]).toMatchObject({
    code: 'GUEST_CONDITION',
    sentence: expect.stringMatching(/stands still because its host cannot .*make room.*no room left.*since 2030/),
  });
});

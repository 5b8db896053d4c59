import type { ErrorCode } from '@dormouse/errors';
import { decide } from './decide';
import { byHand, type BrokerEvent, type DesktopEvent } from './broker-events';
import { machineStateNames, machineStates, type MachineState } from './machine-states';
import { firstPhase, operationKinds, type OperationKind, type OperationPhase } from './operations';
import type { Pool } from './plan';
import { assignmentIn, idleSinceOf, isLoggedOff } from './attendance';
import { nobody, occupancy, visibleConnections, type Presence } from './presence';
import { defaultPoolPolicy, type PoolPolicy } from './pool-policy';
import { ruleBook } from './rule-book';
import { brokerActor, type Decision, type Session, type SessionEvent } from './session';
import { after, announced, connected, disconnected, eventOf as told, next as nextOf } from './told-fixture';
import { answers, rules, signals, type Signal } from './transitions';

const nowMs = 1_000_000;
const policy: PoolPolicy = { ...defaultPoolPolicy, graceMs: 10_000, brokers: 'any' };
const pool: Pool = { policy, storms: [] };

const alice: Presence = after(connected('alice', { sequence: 1 }));
const unsure: Presence = nextOf(alice, announced({ sequence: 9 }));
/** Somebody was there and has left. */
const left: Presence = after(connected('alice', { sequence: 1 }), disconnected('alice', { sequence: 2 }));

const phaseIn: Partial<Record<MachineState, OperationPhase>> = {
  saving: 'capture',
  committing: 'switchover',
  resident: 'commit',
  hydrating: 'hydrate',
};

/** A session in this state as it usually is: nobody there for 10 s, the operation of the state claimed, deadlines set. */
function sessionIn(machine: MachineState, changes: Partial<Session> = {}): Session {
  const { operation: kind, held } = machineStates[machine];
  const presence = changes.presence ?? nobody;
  return {
    desktopId: 'd',
    broker: 's',
    machine,
    machineSinceMs: nowMs - 10_000,
    generation: 7,
    presence,
    absence: occupancy(presence) === 'empty' ? { sinceMs: nowMs - 10_000, cause: 'user' } : null,
    doubtSinceMs: null,
    wokeAtMs: null,
    untouched: false,
    heldUntilMs: null,
    deadlineMs: machine === 'grace' || machine === 'save-failed' ? nowMs : null,
    operation: kind !== null && held === 'always' ? operation(kind, phaseIn[machine], machine !== 'queued') : null,
    accepted: true,
    checkpointed: true,
    restoreFailures: 0,
    wakesInVain: 0,
    saveFailures: 0,
    lastError: null,
    ...changes,
  };
}

function operation(kind: OperationKind, phase: OperationPhase = firstPhase(kind), claimed = true) {
  const status = claimed ? ('active' as const) : ('pending' as const);
  return {
    kind,
    phase,
    status,
    requestedBy: brokerActor,
    cancelRequested: false,
    forced: false,
    awaited: true,
    goingBack: null,
    again: null,
  };
}

function broker(type: BrokerEvent['type'], fields: object = {}): SessionEvent {
  const base = { id: 'x', source: 's', brokerEpoch: null, occurredAt: null, data: {}, poolId: null, userRef: null };
  return { type: 'broker', event: { ...base, desktopId: 'd', sequence: null, type, ...fields } as DesktopEvent };
}

const eventOfType = (type: string, sequence: number) => told(type, { sequence });
const eventOfLogoff = eventOfType('session.logged_off', 3);
const connect = (connectionId = 'alice') => broker('vdc.session.connected', { connectionId });
const disconnect = (connectionId = 'alice') => broker('vdc.session.disconnected', { connectionId, reason: 'user' });
const request = (kind: OperationKind): SessionEvent => ({ type: 'request', kind, reason: 'test', requestedBy: 'anna' });
const restoreOf = (id: string, current = false): SessionEvent => ({
  type: 'request',
  kind: 'restore',
  reason: 'test',
  requestedBy: 'anna',
  checkpoint: { id, current },
});
const report = (
  type:
    | 'claimed'
    | 'fall_back_asked'
    | 'elsewhere_asked'
    | 'switchover_reached'
    | 'checkpoint_durable'
    | 'linger_asked'
    | 'release_reached'
    | 'guest_ran',
) => ({ type, generation: 7 }) as const;
const finished = (status: 'succeeded' | 'failed' | 'cancelled', code?: ErrorCode) =>
  ({
    type: 'operation_finished',
    generation: 7,
    status,
    error: code === undefined ? null : { code, message: 'because', details: {} },
  }) as const;

const settle = (session: Session, event: SessionEvent, at = nowMs): Decision => decide(session, event, pool, at);

const eventOf: Record<Exclude<Signal, 'unchanged'>, SessionEvent> = {
  arrived: connect(),
  left: disconnect(),
  loggedOff: broker('vdc.session.logged_off'),
  unsure: broker('vdc.session.idle', { brokerEpoch: 'e2', sequence: 1 }),
  graceElapsed: { type: 'grace_elapsed', generation: 7 },
  termsChanged: { type: 'pool_changed' },
  registerRequested: request('register'),
  bootRequested: request('boot'),
  saveRequested: request('save'),
  restoreRequested: request('restore'),
  stopRequested: request('stop'),
  cancelAsked: { type: 'cancel_asked', generation: 7, requestedBy: 'anna', reason: 'test' },
  claimed: report('claimed'),
  phaseReached: { type: 'phase_reached', generation: 7, phase: 'commit' },
  fallBackAsked: report('fall_back_asked'),
  elsewhereAsked: report('elsewhere_asked'),
  switchoverReached: report('switchover_reached'),
  checkpointDurable: report('checkpoint_durable'),
  lingerAsked: report('linger_asked'),
  releaseReached: report('release_reached'),
  guestRan: report('guest_ran'),
  succeeded: finished('succeeded'),
  failed: finished('failed', 'STORAGE_FULL'),
  cancelled: finished('cancelled'),
  foundAbsent: { type: 'machine_observed', observed: 'absent' },
  foundRunning: { type: 'machine_observed', observed: 'running' },
  foundShutDown: { type: 'machine_observed', observed: 'shut-down' },
};

describe('the transition table', () => {
  test('names an existing rule for every state and every signal', () => {
    for (const state of machineStateNames) {
      expect(Object.keys(answers[state]).sort()).toEqual([...signals].sort());
      for (const signal of signals) expect(ruleBook).toHaveProperty(answers[state][signal]);
    }
  });

  const cases = machineStateNames.flatMap((state) =>
    (Object.keys(eventOf) as (keyof typeof eventOf)[]).map((signal) => ({ state, signal })),
  );

  test.each(cases)('$state × $signal is decided, and leads where its rule says', ({ state, signal }) => {
    const { operation: kind, held } = machineStates[state];
    const operations = held === 'maybe' ? [null, operation(kind)] : [sessionIn(state).operation];
    const presences =
      signal === 'left' ? [alice] : signal === 'unsure' || signal === 'loggedOff' ? [left] : [nobody, alice, unsure];
    for (const present of presences) {
      for (const held of operations) {
        const session = sessionIn(state, { presence: present, operation: held });
        const decision = settle(session, eventOf[signal]);
        const leadsTo = rules[answers[state][signal]].map((to) => (to === 'stay' ? state : to));
        if (decision.outcome === 'stale') expect(decision.session).toBe(session);
        else expect(leadsTo).toContain(decision.session.machine);
        expect(decision.explanation).toMatch(/\w+/);
        expect(decision.refusal !== undefined).toBe(decision.outcome === 'refused');
      }
    }
  });
});

describe('a user leaves', () => {
  test('a running desktop gets its grace', () => {
    const { session, effects } = settle(sessionIn('running', { presence: alice }), disconnect());
    expect(session).toMatchObject({ machine: 'grace', deadlineMs: nowMs + 10_000, generation: 8 });
    expect(effects).toEqual([{ type: 'schedule_grace', generation: 8, atMs: nowMs + 10_000 }]);
  });

  test('nothing happens while another connection is open', () => {
    const presence = nextOf(alice, connected('other', { sequence: 2 }));
    const { session, effects } = settle(sessionIn('running', { presence }), disconnect());
    expect(session.machine).toBe('running');
    expect(effects).toEqual([]);
  });

  test('a disconnect of a connection nobody knows changes nothing', () => {
    const before = sessionIn('running', { presence: alice });
    expect(settle(before, disconnect('stranger'))).toMatchObject({ outcome: 'ignored', session: before, effects: [] });
  });

  test('a desktop started by hand waits for its first user without a grace', () => {
    const byHand = { ...operation('boot'), requestedBy: 'anna', awaited: false };
    const booting = sessionIn('booting', { operation: byHand, absence: null });
    expect(settle(booting, finished('succeeded')).session.machine).toBe('running');
    const visited = settle(settle(booting, connect()).session, disconnect()).session;
    expect(settle(visited, finished('succeeded')).session.machine).toBe('grace');
    expect(settle(sessionIn('booting'), finished('succeeded')).session.machine).toBe('grace');
  });

  test('whether a desktop that was woken is still untouched: until somebody is or may be there', () => {
    const woken = settle(sessionIn('saved'), request('restore')).session;
    expect(woken.untouched).toBe(true);
    expect(settle(woken, broker('vdc.session.connect_requested')).session.untouched).toBe(true);
    const used = settle(woken, connect()).session;
    expect(settle(used, disconnect()).session.untouched).toBe(false);
    expect(settle(sessionIn('saved'), connect()).session.untouched).toBe(false);
    expect(settle({ ...woken, presence: left }, eventOf.unsure).session.untouched).toBe(false);
  });

  test('during a wake: it is finished, and then the desktop stays up at least minResidencyMs', () => {
    const decision = decide(
      sessionIn('hydrating'),
      finished('succeeded'),
      { ...pool, policy: { ...policy, minResidencyMs: 99_000 } },
      nowMs,
    );
    expect(decision.session).toMatchObject({ machine: 'grace', deadlineMs: nowMs + 99_000 });
  });
});

describe('a grace', () => {
  test('that is over leads to a save', () => {
    const { session, effects } = settle(sessionIn('grace'), eventOf.graceElapsed);
    expect(session).toMatchObject({
      machine: 'queued',
      deadlineMs: null,
      operation: { kind: 'save', phase: 'queued' },
    });
    expect(effects).toEqual([expect.objectContaining({ type: 'open_operation', kind: 'save', generation: 8 })]);
  });

  test('whose timer fires early or twice leads to nothing', () => {
    expect(settle(sessionIn('grace'), eventOf.graceElapsed, nowMs - 5_000).outcome).toBe('ignored');
    expect(settle(sessionIn('grace'), { type: 'grace_elapsed', generation: 6 }).outcome).toBe('stale');
    expect(settle(sessionIn('running'), eventOf.graceElapsed).outcome).toBe('stale');
  });

  test('does not lead to a save while somebody is or may be there', () => {
    for (const presence of [alice, unsure]) {
      expect(settle(sessionIn('grace', { presence }), eventOf.graceElapsed).session).toMatchObject({
        machine: 'running',
        deadlineMs: null,
        operation: null,
      });
    }
  });

  test('ends with the user’s return, and its timer is taken back', () => {
    const { session, effects } = settle(sessionIn('grace'), connect());
    expect(session).toMatchObject({ machine: 'running', deadlineMs: null });
    expect(effects).toEqual([{ type: 'unschedule_grace', generation: 7 }]);
  });

  test('begins anew when a user is announced who is not there yet', () => {
    const { session } = settle(sessionIn('grace'), broker('vdc.session.connect_requested'), nowMs - 1);
    expect(session).toMatchObject({ machine: 'grace', deadlineMs: nowMs - 1 + 10_000 });
  });
});

describe('a logoff', () => {
  const logoff = { action: 'power-off', settleMs: 3_000 } as const;
  const poweringOff: Pool = { ...pool, policy: { ...policy, logoff } };
  const decided = (session: Session, event: SessionEvent, at = nowMs) => decide(session, event, poweringOff, at);
  const loggedOff = broker('vdc.session.logged_off');

  test('and the disconnect it belongs to power the desktop off once both have settled, in whatever order they come', () => {
    const orders = [
      [loggedOff, disconnect()],
      [disconnect(), loggedOff],
    ];
    for (const events of orders) {
      const settled = events.reduce<Session>(
        (session, event) => decided(session, event).session,
        sessionIn('running', { presence: alice }),
      );
      expect(settled).toMatchObject({ machine: 'grace', deadlineMs: nowMs + 3_000, absence: { cause: 'logoff' } });
      const { generation } = settled;
      const due = decided(settled, { type: 'grace_elapsed', generation }, nowMs + 3_000);
      expect(due.session).toMatchObject({ machine: 'running', operation: { kind: 'stop', requestedBy: 'policy' } });
    }
  });

  test('wins over a save that waits in the queue, and lets one go on that has begun', () => {
    const save = { ...operation('save', 'queued', false), requestedBy: 'policy' };
    const waiting = decided(sessionIn('queued', { presence: left, operation: save }), loggedOff);
    expect(waiting.session).toMatchObject({ machine: 'grace', operation: null, absence: { cause: 'logoff' } });
    expect(waiting.effects[0]).toMatchObject({ type: 'end_operation', status: 'superseded' });
    expect(decided(sessionIn('saving', { presence: left }), loggedOff).session).toMatchObject({
      machine: 'saving',
      operation: { kind: 'save' },
    });
  });

  test('that is told before its disconnect is believed once nothing is missing, and withdrawn by a return', () => {
    const numbered = (type: BrokerEvent['type'], sequence: number, fields: object = {}) =>
      broker(type, { brokerEpoch: 'e1', sequence, connectionId: 'alice', reason: 'user', ...fields });
    const early = decided(sessionIn('running', { presence: alice }), numbered('vdc.session.logged_off', 3)).session;
    expect(early).toMatchObject({ machine: 'running', absence: null });
    const whole = decided(early, numbered('vdc.session.disconnected', 2)).session;
    expect(whole).toMatchObject({ machine: 'grace', absence: { cause: 'logoff' } });
    expect(decided(whole, connect('alice')).session).toMatchObject({ machine: 'running', absence: null });
    // A logoff that comes after what contradicts it was said before it.
    const back = decided(sessionIn('running', { presence: alice }), numbered('vdc.session.logged_on', 3)).session;
    const late = decided(back, numbered('vdc.session.logged_off', 2)).session;
    expect(decided(late, numbered('vdc.session.disconnected', 4)).session.absence?.cause).toBe('user');
  });

  const steps = (presence: Presence, ...events: [SessionEvent, number][]): Session =>
    events.reduce<Session>(
      (session, [event, at]) => decided(session, event, at).session,
      sessionIn('running', { presence }),
    );
  const lineBreaks = broker('vdc.session.disconnected', { connectionId: 'alice', reason: 'network' });
  const hour = 3_600_000;

  test('is withdrawn by a logon that follows: what is in memory now is another session’s', () => {
    const { session } = {
      session: steps(alice, [loggedOff, nowMs], [disconnect(), nowMs], [broker('vdc.session.logged_on'), nowMs + 1]),
    };
    expect(session).toMatchObject({
      machine: 'grace',
      absence: { cause: 'user', sinceMs: nowMs + 1 },
      deadlineMs: nowMs + 1 + policy.graceMs,
    });
  });

  test('and the logon that follows it call a stop off that no worker has taken', () => {
    const due = steps(alice, [loggedOff, nowMs], [disconnect(), nowMs]);
    const fired = decided(due, { type: 'grace_elapsed', generation: due.generation }, nowMs + 3_000).session;
    expect(fired).toMatchObject({ machine: 'running', operation: { kind: 'stop', status: 'pending' } });
    const on = decided(fired, broker('vdc.session.logged_on'), nowMs + 3_100);
    expect(on.session).toMatchObject({ machine: 'grace', operation: null, absence: { cause: 'user' } });
    expect(on.effects[0]).toMatchObject({ type: 'end_operation', kind: 'stop', status: 'cancelled' });
  });

  test.each([
    ['active', [broker('vdc.session.active'), nowMs + 1_000], nowMs + 2_000],
    ['a logon', [broker('vdc.session.logged_on'), nowMs + 1_000], nowMs + 2_000],
    ['nothing, hours before the line breaks', null, nowMs + 3 * hour],
  ] as [string, [SessionEvent, number] | null, number][])('followed by %s is none: it is saved', (_, sign, at) => {
    const session = steps(alice, [loggedOff, nowMs], ...(sign === null ? [] : [sign]), [lineBreaks, at]);
    expect(session).toMatchObject({ machine: 'grace', absence: { cause: 'network' } });
    const late = decided(session, { type: 'grace_elapsed', generation: session.generation }, session.deadlineMs!);
    expect(late.session.operation?.kind).toBe('save');
  });

  test('of a broker that nobody was connected by powers nothing off, and neither do two of whom one has not logged off', () => {
    const stranger = (type: BrokerEvent['type'], fields: object = {}) => broker(type, { source: 'other', ...fields });
    const alone = steps(alice, [disconnect(), nowMs], [stranger('vdc.session.logged_off'), nowMs]);
    expect(alone.absence?.cause).toBe('user');
    const connection = { connectionId: 'bob', reason: 'user' };
    const both = [
      [stranger('vdc.session.connected', connection), nowMs],
      [stranger('vdc.session.logged_off'), nowMs],
      [stranger('vdc.session.disconnected', connection), nowMs],
    ] as [SessionEvent, number][];
    expect(steps(alice, ...both)).toMatchObject({ machine: 'running', absence: null });
    expect(steps(alice, ...both, [disconnect(), nowMs]).absence?.cause).toBe('user');
    expect(steps(alice, ...both, [disconnect(), nowMs], [loggedOff, nowMs]).absence?.cause).toBe('logoff');
  });

  test('is no reason any more when the pool does not want it so: a stop that waits is called off', () => {
    const due = steps(alice, [loggedOff, nowMs], [disconnect(), nowMs]);
    const fired = decided(due, { type: 'grace_elapsed', generation: due.generation }, nowMs + 3_000).session;
    const edited = decide(fired, { type: 'pool_changed' }, pool, nowMs + 3_000).session;
    expect(edited).toMatchObject({ machine: 'grace', operation: null });
  });

  test('is forgotten when the desktop comes back, whoever wakes it', () => {
    const absence = { sinceMs: nowMs, cause: 'logoff' } as const;
    const presence = nextOf(left, eventOfLogoff);
    expect(isLoggedOff(presence)).toBe(true);
    for (const [state, kind] of [
      ['saved', 'restore'],
      ['off', 'boot'],
    ] as const) {
      const { session } = decided(sessionIn(state, { absence, presence }), request(kind));
      expect(session.absence).toBeNull();
      expect(isLoggedOff(session.presence)).toBe(false);
    }
  });
});

describe('whatever makes it certain that nobody is there', () => {
  const gone = after(
    eventOfType('desktop.assigned', 1),
    connected('c', { sequence: 3 }),
    disconnected('c', { sequence: 4 }),
  );

  test.each([
    ['the announcement that was missing', broker('vdc.session.connect_requested', { brokerEpoch: 'e1', sequence: 2 })],
    ['a late idle', broker('vdc.session.idle', { brokerEpoch: 'e1', sequence: 2 })],
    ['a late assignment', broker('vdc.desktop.assigned', { brokerEpoch: 'e1', sequence: 2 })],
    ['a late logoff', broker('vdc.session.logged_off', { brokerEpoch: 'e1', sequence: 2 })],
    ['a snapshot', broker('vdc.broker.snapshot', { connectionIds: [] })],
    ['that its broker is retired', { type: 'broker_retired', source: 's' }],
  ] as [string, SessionEvent][])('begins the grace: %s', (_, event) => {
    const { session } = settle(sessionIn('running', { presence: gone, doubtSinceMs: nowMs }), event);
    expect(session).toMatchObject({ machine: 'grace', deadlineMs: nowMs + policy.graceMs, doubtSinceMs: null });
  });

  test('is that it sleeps, or is off, but not when it is to be woken elsewhere', () => {
    const saved = (requestedBy: string) => {
      const save = { ...operation('save', 'release'), requestedBy, forced: true };
      const changes = { presence: gone, doubtSinceMs: nowMs, operation: save };
      return settle(sessionIn('resident', changes), finished('succeeded')).session;
    };
    expect(saved('anna')).toMatchObject({ machine: 'saved', doubtSinceMs: null });
    expect(occupancy(saved('anna').presence)).toBe('empty');
    expect(occupancy(saved('drain').presence)).toBe('unknown');
    const died = sessionIn('running', { presence: gone, doubtSinceMs: nowMs });
    expect(occupancy(settle(died, eventOf.foundAbsent).session.presence)).toBe('empty');
  });
});

describe('an edit of the policy changes what it concerns', () => {
  const edited = { type: 'pool_changed' } as const;

  test.each(machineStateNames)('%s: the same policy again changes nothing', (machine) => {
    for (const presence of [nobody, alice, unsure, left]) {
      const before = settle(sessionIn(machine, { presence }), edited).session;
      const again = settle(before, edited, nowMs + 1_000);
      expect(again.session).toEqual(before);
      expect(again.effects).toEqual([]);
    }
  });

  test('one that was started by hand, and announced, goes on waiting for its first user', () => {
    const announcedOne = settle(
      sessionIn('running', { absence: null }),
      broker('vdc.session.connect_requested'),
    ).session;
    expect(announcedOne).toMatchObject({ machine: 'running', absence: null });
    expect(settle(announcedOne, edited).session).toMatchObject({ machine: 'running', absence: null, deadlineMs: null });
  });

  test('the pause of a failed save goes on, and a hold only makes it longer', () => {
    const failed = settle(sessionIn('saving'), finished('failed', 'STORAGE_FULL')).session;
    const { deadlineMs } = failed;
    expect(settle(failed, edited, nowMs + 30_000).session.deadlineMs).toBe(deadlineMs);
    const held = settle(failed, { type: 'hold_set', untilMs: nowMs + 500_000 }, nowMs + 30_000).session;
    expect(held.deadlineMs).toBe(nowMs + 500_000);
    expect(settle(held, { type: 'hold_set', untilMs: null }, nowMs + 40_000).session.deadlineMs).toBe(deadlineMs);
  });
});

describe('whose a desktop is', () => {
  const by = (source: string, type: BrokerEvent['type'], fields: object = {}) =>
    broker(type, { source, connectionId: source, reason: 'user', connectionIds: [], ...fields });
  const first: Pool = { policy: { graceMs: 10_000, keepCheckpoints: 2, brokers: 'first' }, storms: [] };
  const told = (session: Session, ...events: readonly SessionEvent[]) =>
    events.reduce((now, event) => decide(now, event, first, nowMs).session, session);
  const unclaimed = sessionIn('running', { broker: null, absence: null });
  const ofA = told(unclaimed, by('a', 'vdc.session.connected'));
  const refusal = { outcome: 'refused', session: ofA, effects: [], refusal: { code: 'BROKER_NOT_ALLOWED' } };

  test.each<BrokerEvent['type']>([
    'vdc.desktop.assigned',
    'vdc.session.connect_requested',
    'vdc.session.connected',
    'vdc.session.reconnected',
    'vdc.session.logged_on',
    'vdc.session.active',
    'vdc.session.idle',
  ])('%s makes a desktop that is nobody’s its sender’s', (type) => {
    expect(told(unclaimed, by('a', type), by('b', 'vdc.session.connected')).broker).toBe('a');
  });

  test('who only says that something is over, or tries things out by hand, gets no desktop', () => {
    const endings = (['disconnected', 'logged_off'] as const).map((what) => by('b', `vdc.session.${what}`));
    const ends = [...endings, by('b', 'vdc.desktop.deleted'), by('b', 'vdc.broker.snapshot')];
    expect(told(unclaimed, ...ends, by(byHand, 'vdc.session.connected')).broker).toBeNull();
    expect(told(unclaimed, by('b', 'vdc.broker.snapshot', { connectionIds: ['x'] })).broker).toBe('b');
  });

  test.each<BrokerEvent['type']>([
    'vdc.session.connect_requested',
    'vdc.session.connected',
    'vdc.session.disconnected',
    'vdc.session.logged_off',
    'vdc.broker.snapshot',
    'vdc.desktop.deleted',
    'vdc.desktop.assigned',
  ])('%s of another broker moves nothing, and the answer says whose it is and what can be done', (type) => {
    const decision = decide(ofA, by('b', type, { connectionId: 'a' }), first, nowMs);
    expect(decision).toMatchObject(refusal);
    expect(decision.explanation).toMatch(/belongs to the broker a, .*desktop broker d b.*broker retire a.*`brokers`/);
  });

  test('several brokers may speak of one desktop where the pool says so', () => {
    for (const brokers of ['any', ['a', 'b']] as const) {
      const shared: Pool = { ...first, policy: { ...first.policy, brokers } };
      const { session } = decide(ofA, by('b', 'vdc.session.connected'), shared, nowMs);
      expect(visibleConnections(session.presence)).toEqual(['a', 'b']);
    }
  });

  test('where the pool says nothing, one that was assigned is the first assigner’s alone, and all may speak of others', () => {
    const usual: Pool = { policy: { graceMs: 10_000, keepCheckpoints: 2 }, storms: [] };
    const assigned = by('a', 'vdc.desktop.assigned', { userRef: 'ada' });
    const both = [by('a', 'vdc.session.connected'), by('b', 'vdc.session.connected')];
    const shared = both.reduce((now, event) => decide(now, event, usual, nowMs).session, unclaimed);
    expect(shared.broker).toBeNull();
    expect(visibleConnections(shared.presence)).toEqual(['a', 'b']);
    const owned = decide(shared, assigned, usual, nowMs).session;
    expect(owned.broker).toBe('a');
    for (const type of ['vdc.session.connected', 'vdc.session.logged_off', 'vdc.desktop.assigned'] as const) {
      expect(decide(owned, by('b', type), usual, nowMs)).toMatchObject({ refusal: { code: 'BROKER_NOT_ALLOWED' } });
    }
    // What b has begun while it was allowed to, it may still end.
    const left = decide(owned, by('b', 'vdc.session.disconnected'), usual, nowMs).session;
    expect(visibleConnections(left.presence)).toEqual(['a']);
  });

  test('an operator gives it to another, and what the one before has begun it may still end', () => {
    const given = told(ofA, { type: 'broker_named', source: 'b' });
    expect(given).toEqual({ ...ofA, broker: 'b' });
    expect(decide(given, { type: 'broker_named', source: 'b' }, first, nowMs).outcome).toBe('stale');
    expect(decide(given, by('a', 'vdc.session.connected'), first, nowMs).outcome).toBe('refused');
    const shared = told(given, by('b', 'vdc.session.connected'));
    expect(visibleConnections(shared.presence)).toEqual(['a', 'b']);
    const left = told(shared, by('a', 'vdc.session.disconnected'));
    expect(visibleConnections(left.presence)).toEqual(['b']);
    expect(decide(left, by('a', 'vdc.session.disconnected'), first, nowMs).outcome).toBe('refused');
    const freed = told(given, { type: 'broker_named', source: null }, by('c', 'vdc.session.connected'));
    expect(freed.broker).toBe('c');
  });

  test('a broker that is retired leaves it to the one that speaks of it next', () => {
    const retired = told(ofA, { type: 'broker_retired', source: 'a' });
    expect(retired).toMatchObject({ broker: null, machine: 'grace' });
    expect(told(retired, by('b', 'vdc.session.connected'))).toMatchObject({ broker: 'b', machine: 'running' });
    const unheard = sessionIn('running', { broker: 'a' });
    expect(told(unheard, { type: 'broker_retired', source: 'a' })).toEqual({ ...unheard, broker: null });
    expect(told(ofA, { type: 'broker_retired', source: 'b' })).toBe(ofA);
  });
});

describe('a broker that the pool does not name', () => {
  test('moves nothing, and is told so', () => {
    const named: Pool = { ...pool, policy: { ...policy, brokers: ['s'] } };
    const before = sessionIn('running', { presence: alice });
    const stranger = broker('vdc.broker.snapshot', { connectionIds: [], source: 'other' });
    expect(decide(before, stranger, named, nowMs)).toMatchObject({
      outcome: 'refused',
      session: before,
      effects: [],
      refusal: { code: 'BROKER_NOT_ALLOWED' },
    });
    expect(decide(before, disconnect(), named, nowMs).session.machine).toBe('grace');
  });
});

describe('a save that is wanted besides the one under way', () => {
  const fresh = (requestedBy = 'anna', force = false) =>
    ({ type: 'request', kind: 'save', reason: 'test', requestedBy, force, fresh: true }) as const;

  test.each(['saving', 'committing', 'resident'] as const)(
    '%s: follows when that one is called off or fails, once',
    (state) => {
      const first = settle(sessionIn(state), fresh());
      expect(first.outcome).toBe('joined');
      const { session } = settle(first.session, fresh('bob'));
      expect(session.operation?.again).toEqual({ requestedBy: 'anna', reason: 'test', forced: false });
      for (const ending of [finished('cancelled'), finished('failed', 'STORAGE_FULL')]) {
        const ended = settle(session, ending);
        expect(ended.session).toMatchObject({
          machine: 'queued',
          operation: { kind: 'save', requestedBy: 'anna', again: null },
        });
        const { generation } = ended.session;
        const begun = settle(ended.session, { type: 'claimed', generation }).session;
        expect(settle(begun, { ...ending, generation }).session.operation).toBeNull();
      }
    },
  );

  test('is content with one that puts the desktop to sleep, and with one that waits', () => {
    const releasing = sessionIn('resident', { operation: operation('save', 'release') });
    const { session } = settle(releasing, fresh());
    expect(settle(session, finished('succeeded')).session).toMatchObject({ machine: 'saved', operation: null });
    expect(settle(sessionIn('queued'), fresh()).session.operation?.again).toBeNull();
  });

  test('is not begun while a user is there, unless it is forced, and not by force for one who has come since', () => {
    const asked = (session: Session, again: SessionEvent) => settle(session, again).session;
    const isBegun = (session: Session) => settle(session, finished('cancelled')).session.machine === 'queued';
    const back = settle(sessionIn('saving'), connect()).session;
    expect(settle(back, fresh()).refusal).toMatchObject({ code: 'USER_PRESENT' });
    expect(isBegun(asked(back, fresh('anna', true)))).toBe(true);
    for (const again of [fresh(), fresh('anna', true)]) {
      expect(isBegun(settle(asked(sessionIn('saving'), again), connect()).session)).toBe(false);
    }
  });
});

describe('a desktop that lingers', () => {
  const lingering: Pool = { ...pool, policy: { ...policy, lingerMs: 60_000 } };
  const asked = report('linger_asked');
  const save = { ...operation('save', 'commit'), requestedBy: 'policy' };
  const resident = (changes: object = {}) =>
    sessionIn('resident', { machineSinceMs: nowMs, operation: { ...save, ...changes } });

  test('stays in memory until its time is over, and is then let go', () => {
    const { session, effects, outcome } = decide(resident(), asked, lingering, nowMs);
    expect(outcome).toBe('applied');
    expect(session).toMatchObject({ machine: 'resident', operation: { phase: 'linger' } });
    expect(effects).toEqual([{ type: 'resume_operation', generation: 7, atMs: nowMs + 60_000 }]);
    expect(decide(session, asked, lingering, nowMs + 60_000).outcome).toBe('ignored');
    const released = decide(session, report('release_reached'), lingering, nowMs + 60_000);
    expect(released.session.operation?.phase).toBe('release');
  });

  test('is taken up at once for a user who returns, and for whoever wants it away', () => {
    const lingers = resident({ phase: 'linger' });
    const resume = { type: 'resume_operation', generation: 7, atMs: nowMs };
    const back = decide(lingers, connect(), lingering, nowMs);
    expect(back.effects).toEqual([expect.objectContaining({ type: 'request_cancel' }), resume]);
    expect(decide(back.session, asked, lingering, nowMs).outcome).toBe('refused');
    const pushed = decide(lingers, { ...request('save'), force: true } as SessionEvent, lingering, nowMs);
    expect(pushed.effects).toEqual([resume]);
    expect(decide(pushed.session, asked, lingering, nowMs).outcome).toBe('ignored');
  });

  test('is one that was saved by itself: who asks for a save wants the memory', () => {
    expect(decide(resident({ requestedBy: 'anna' }), asked, lingering, nowMs).outcome).toBe('ignored');
    expect(decide(resident(), asked, pool, nowMs).outcome).toBe('ignored');
  });
});

describe('a hold', () => {
  const hold = (untilMs: number | null): SessionEvent => ({ type: 'hold_set', untilMs });

  test('puts the deadline of a grace off, and ends with it or before', () => {
    const held = settle(sessionIn('grace'), hold(nowMs + 60_000));
    expect(held.session).toMatchObject({ machine: 'grace', deadlineMs: nowMs + 60_000 });
    expect(settle(held.session, hold(null)).session).toMatchObject({ machine: 'grace', deadlineMs: nowMs });
  });

  test('refuses a save that is not forced, by its own code', () => {
    const held = sessionIn('grace', { heldUntilMs: nowMs + 60_000 });
    expect(settle(held, request('save')).refusal).toMatchObject({ code: 'DESKTOP_HELD' });
    expect(settle(held, request('save'), nowMs + 60_000).outcome).toBe('applied');
    expect(settle(held, { ...request('save'), force: true } as SessionEvent).outcome).toBe('applied');
  });

  test('takes a save out of the queue, and waits for the end of one that has begun', () => {
    const waiting = { ...operation('save', 'queued', false), requestedBy: 'policy' };
    const held = settle(sessionIn('queued', { operation: waiting }), hold(nowMs + 60_000));
    expect(held.session).toMatchObject({ machine: 'grace', operation: null, deadlineMs: nowMs + 60_000 });
    expect(settle(sessionIn('saving'), hold(nowMs + 60_000)).session).toMatchObject({ machine: 'saving' });
  });
});

describe('another policy', () => {
  const under = (changes: object): Pool => ({ ...pool, policy: { ...policy, ...changes } });
  const changed: SessionEvent = { type: 'pool_changed' };

  test('moves the deadline of a grace that runs, from when its user left', () => {
    const left = sessionIn('grace', { absence: { sinceMs: nowMs - 5_000, cause: 'user' }, deadlineMs: nowMs + 5_000 });
    expect(decide(left, changed, under({ graceMs: 60_000 }), nowMs).session.deadlineMs).toBe(nowMs + 55_000);
    expect(decide(left, changed, under({ graceMs: 1_000 }), nowMs).session.deadlineMs).toBe(nowMs);
    expect(decide(left, changed, pool, nowMs)).toMatchObject({ session: { generation: 7 }, effects: [] });
  });

  test('that puts nothing to sleep lets every desktop run on, and refuses saves that are not forced', () => {
    for (const state of ['grace', 'queued', 'save-failed'] as const) {
      const waiting =
        state === 'queued' ? { operation: { ...operation('save', 'queued', false), requestedBy: 'policy' } } : {};
      const { session } = decide(sessionIn(state, waiting), changed, under({ neverSave: true }), nowMs);
      expect(session).toMatchObject({ machine: 'running', operation: null, deadlineMs: null });
    }
    const refused = decide(sessionIn('running'), request('save'), under({ neverSave: true }), nowMs);
    expect(refused.refusal).toMatchObject({ code: 'POLICY_FORBIDS' });
  });

  test('that is in force when a deadline comes is the one that counts', () => {
    const { session } = decide(sessionIn('grace'), eventOf.graceElapsed, under({ graceMs: 60_000 }), nowMs);
    expect(session).toMatchObject({ machine: 'grace', deadlineMs: nowMs + 50_000 });
  });
});

describe('a cancellation', () => {
  const cancel = eventOf.cancelAsked;
  const asked = { code: 'CANCELLED', message: 'anna has called it off: test' };

  test('of a save that waits ends it, and its user is waited for anew', () => {
    const { session, effects } = settle(sessionIn('queued'), cancel);
    expect(session).toMatchObject({ machine: 'grace', operation: null, deadlineMs: nowMs + 10_000 });
    expect(effects[0]).toMatchObject({ type: 'end_operation', status: 'cancelled', error: asked });
  });

  test('of a save under way asks its worker, until the machine is being let go', () => {
    for (const state of ['saving', 'committing', 'resident'] as const) {
      const { effects } = settle(sessionIn(state), cancel);
      expect(effects).toEqual([
        expect.objectContaining({ type: 'request_cancel', because: expect.objectContaining(asked) }),
      ]);
    }
    const releasing = sessionIn('resident', { operation: operation('save', 'release') });
    expect(settle(releasing, cancel).refusal).toMatchObject({ code: 'DESKTOP_BUSY' });
  });

  test('of what no worker has taken puts the desktop back where it was, unless a user waits for it', () => {
    const waiting = (kind: OperationKind) => ({ operation: operation(kind, firstPhase(kind), false) });
    expect(settle(sessionIn('booting', waiting('boot')), cancel).session).toMatchObject({
      machine: 'off',
      operation: null,
    });
    expect(settle(sessionIn('restoring', waiting('restore')), cancel).session).toMatchObject({ machine: 'saved' });
    expect(settle(sessionIn('running', waiting('stop')), cancel).session).toMatchObject({
      machine: 'grace',
      operation: null,
    });
    for (const [state, kind] of [
      ['booting', 'boot'],
      ['restoring', 'restore'],
    ] as const) {
      const decision = settle(sessionIn(state, { ...waiting(kind), presence: alice }), cancel);
      expect(decision.refusal).toMatchObject({ code: 'USER_PRESENT' });
      expect(settle(sessionIn(state), cancel).refusal).toMatchObject({ code: 'DESKTOP_BUSY' });
    }
  });

  test('of an operation that has ended is stale', () => {
    expect(settle(sessionIn('running'), cancel).outcome).toBe('stale');
    expect(settle(sessionIn('saving'), { ...cancel, generation: 6 } as SessionEvent).outcome).toBe('stale');
  });
});

describe('a user returns', () => {
  test.each(['saving', 'committing', 'resident'] as const)('while %s: the worker is asked to give up', (state) => {
    const { session, effects } = settle(sessionIn(state), connect());
    expect(session).toMatchObject({ machine: state, operation: { cancelRequested: true, forced: false } });
    const because = { code: 'CANCELLED', message: 'a user has come', details: {} };
    expect(effects).toEqual([{ type: 'request_cancel', generation: 7, because }]);
    expect(settle(session, finished('cancelled')).session.machine).toBe('running');
  });

  test('before the save was claimed: it is called off at once and its job withdrawn', () => {
    const { session, effects } = settle(sessionIn('queued'), connect());
    expect(session).toMatchObject({ machine: 'running', operation: null });
    expect(effects).toEqual([expect.objectContaining({ type: 'end_operation', status: 'cancelled', unclaimed: true })]);
  });

  test('while the machine is being let go: it wakes as soon as that is over', () => {
    const releasing = sessionIn('resident', { operation: operation('save', 'release') });
    const returned = settle(releasing, connect());
    expect(returned.session.operation?.cancelRequested).toBe(false);
    const { session } = settle(returned.session, finished('succeeded'));
    expect(session).toMatchObject({ machine: 'restoring', operation: { kind: 'restore', status: 'pending' } });
  });

  test.each([
    ['off', 'booting', 'boot'],
    ['saved', 'restoring', 'restore'],
  ] as const)('to a desktop that is %s: it is %s', (state, machine, kind) => {
    for (const event of [connect(), broker('vdc.session.connect_requested')]) {
      expect(settle(sessionIn(state), event).session).toMatchObject({ machine, operation: { kind } });
    }
  });

  test('twice to a sleeping desktop: both join one restore', () => {
    const woken = settle(sessionIn('saved'), connect());
    const second = settle(woken.session, connect('second'));
    expect(second.effects).toEqual([]);
    expect(second.session.operation).toEqual(woken.session.operation);
  });
});

describe('a user who comes to a desktop that is on its way already', () => {
  const askedFor = (kind: 'boot' | 'restore', claimed: boolean) =>
    sessionIn(kind === 'boot' ? 'booting' : 'restoring', {
      operation: { ...operation(kind, undefined, claimed), requestedBy: 'anna', awaited: false },
    });

  test.each(['boot', 'restore'] as const)('moves a %s that waits forward, once', (kind) => {
    const first = settle(askedFor(kind, false), broker('vdc.session.connect_requested'));
    expect(first.effects).toEqual([{ type: 'hasten_operation', generation: 7 }]);
    expect(first.session.operation).toMatchObject({ awaited: true, requestedBy: 'anna' });
    expect(settle(first.session, connect()).effects).toEqual([]);
  });

  test('leaves one that a worker has taken where it is', () => {
    const { effects, session } = settle(askedFor('restore', true), connect());
    expect(effects).toEqual([]);
    expect(session.operation?.awaited).toBe(true);
  });

  test('and does not connect after all is waited for like anybody, though it was started by hand', () => {
    const announced = settle(askedFor('boot', true), broker('vdc.session.connect_requested'));
    expect(settle(announced.session, finished('succeeded')).session).toMatchObject({
      machine: 'grace',
      absence: { cause: 'unused' },
    });
  });
});

describe('a user who is idle', () => {
  const idle = (session: Session, fields: object = {}) => settle(session, broker('vdc.session.idle', fields));

  test('is there: nothing is put to sleep under them, and it is noted since when', () => {
    const { session, effects, outcome } = idle(sessionIn('running', { presence: alice }));
    expect({ effects, outcome }).toEqual({ effects: [], outcome: 'applied' });
    expect(session.machine).toBe('running');
    expect(idleSinceOf(session.presence)).toBe(nowMs);
    const again = settle(session, broker('vdc.session.idle'), nowMs + 5_000);
    expect(again.outcome).toBe('ignored');
    expect(idleSinceOf(again.session.presence)).toBe(nowMs);
  });

  test.each(['network', 'agent_lost', 'unknown'])('and whose line breaks (%s) had gone before: idle', (reason) => {
    const { session } = idle(sessionIn('running', { presence: alice }));
    const left = settle(session, broker('vdc.session.disconnected', { connectionId: 'alice', reason }));
    expect(left.session).toMatchObject({ machine: 'grace', absence: { cause: 'idle' } });
    expect(idleSinceOf(left.session.presence)).toBeNull();
  });

  test('and who leaves on purpose has left on purpose', () => {
    const { session } = idle(sessionIn('running', { presence: alice }));
    expect(settle(session, disconnect()).session.absence?.cause).toBe('user');
  });

  test.each(['vdc.session.active', 'vdc.session.connected'] as const)('is not any more after %s', (type) => {
    const { session } = idle(sessionIn('running', { presence: alice }));
    const back = settle(session, broker(type, { connectionId: 'alice' }));
    expect(idleSinceOf(back.session.presence)).toBeNull();
    const lost = broker('vdc.session.disconnected', { connectionId: 'alice', reason: 'network' });
    expect(settle(back.session, lost).session.absence?.cause).toBe('network');
  });

  test('is not, when what is missing turns out to be their return', () => {
    const numbered = { brokerEpoch: 'e1', sequence: 2 };
    const { session } = idle(sessionIn('running', { presence: alice }), numbered);
    const active = settle(session, broker('vdc.session.active', { ...numbered, sequence: 4 })).session;
    expect(idleSinceOf(idle(active, { ...numbered, sequence: 3 }).session.presence)).toBeNull();
  });
});

describe('whose desktop it is', () => {
  test('is noted, whatever the desktop is', () => {
    for (const machine of machineStateNames) {
      const event = broker('vdc.desktop.assigned', { userRef: 'ada@example.org' });
      const { session, outcome } = settle(sessionIn(machine, { presence: alice }), event);
      expect({ outcome, machine: session.machine }).toEqual({ outcome: 'applied', machine });
      expect(assignmentIn(session.presence)).toMatchObject({ kind: 'assigned', userRef: 'ada@example.org' });
    }
  });

  test.each(['unassigned', 'deleted'] as const)('nobody’s (%s): nobody can come back who is waited for', (kind) => {
    const { session, effects } = settle(
      sessionIn('grace', { deadlineMs: nowMs + 5_000 }),
      broker(`vdc.desktop.${kind}`),
    );
    expect(session).toMatchObject({ machine: 'grace', absence: { cause: kind }, deadlineMs: nowMs });
    expect(effects).toContainEqual(expect.objectContaining({ type: 'schedule_grace', atMs: nowMs }));
  });

  test.each(['unassigned', 'deleted'] as const)('is not acted upon (%s) while somebody is there', (kind) => {
    const told = settle(sessionIn('running', { presence: alice }), broker(`vdc.desktop.${kind}`));
    expect(told.session).toMatchObject({ machine: 'running', absence: null });
    expect(settle(told.session, disconnect()).session).toMatchObject({
      machine: 'grace',
      absence: { cause: kind },
      deadlineMs: nowMs,
    });
  });

  test('somebody’s again: they are waited for from now on', () => {
    const { session } = settle(sessionIn('grace'), broker('vdc.desktop.unassigned'));
    const again = settle(session, broker('vdc.desktop.assigned', { userRef: 'bob' }), nowMs + 1);
    expect(again.session).toMatchObject({
      machine: 'grace',
      absence: { cause: 'unused', sinceMs: nowMs + 1 },
      deadlineMs: nowMs + 1 + policy.graceMs,
    });
  });

  test('is what was said last, not what came last, also with events missing in between', () => {
    const say = (session: Session, kind: string, sequence: number) =>
      settle(session, broker(`vdc.desktop.${kind}` as 'vdc.desktop.assigned', { brokerEpoch: 'e1', sequence })).session;
    const ahead = say(sessionIn('running', { presence: alice }), 'assigned', 4);
    expect(assignmentIn(ahead.presence)?.kind).toBe('assigned');
    expect(assignmentIn(say(ahead, 'unassigned', 3).presence)?.kind).toBe('assigned');
    expect(assignmentIn(say(ahead, 'unassigned', 5).presence)?.kind).toBe('unassigned');
  });

  test('does not bring memory back that a logoff gives up', () => {
    const presence = nextOf(left, eventOfLogoff);
    const absence = { sinceMs: nowMs, cause: 'logoff' } as const;
    const { session } = settle(sessionIn('grace', { presence, absence }), broker('vdc.desktop.unassigned'));
    expect(session.absence?.cause).toBe('logoff');
  });

  test('never wakes a desktop, and never removes one', () => {
    for (const machine of ['saved', 'off', 'restore-blocked'] as const) {
      for (const kind of ['assigned', 'unassigned', 'deleted'] as const) {
        const { session, effects } = settle(sessionIn(machine), broker(`vdc.desktop.${kind}`));
        expect({ machine: session.machine, effects }).toEqual({ machine, effects: [] });
      }
    }
  });
});

describe('no save goes on unless nobody is there for certain', () => {
  const guarded = [
    ['saving', report('switchover_reached'), 'committing'],
    ['committing', report('checkpoint_durable'), 'resident'],
    ['resident', report('release_reached'), 'resident'],
  ] as const;

  test.each(guarded)('%s: agreed to when nobody is there', (state, event, next) => {
    expect(settle(sessionIn(state), event)).toMatchObject({ outcome: 'applied', session: { machine: next } });
  });

  test.each(guarded)('%s: refused, and marked as called off, otherwise', (state, event) => {
    for (const presence of [alice, unsure]) {
      const decision = settle(sessionIn(state, { presence }), event);
      expect(decision).toMatchObject({
        outcome: 'refused',
        session: { machine: state, operation: { cancelRequested: true, forced: false } },
      });
    }
  });

  test('an uncertain presence ends a grace and calls a waiting save off', () => {
    expect(settle(sessionIn('grace', { presence: left }), eventOf.unsure).session.machine).toBe('running');
    expect(settle(sessionIn('queued', { presence: left }), eventOf.unsure).session).toMatchObject({
      machine: 'running',
      operation: null,
    });
  });

  test('a save or stop by hand is refused with the reason', () => {
    for (const kind of ['save', 'stop'] as const) {
      expect(settle(sessionIn('running', { presence: alice }), request(kind)).refusal?.code).toBe('USER_PRESENT');
      expect(settle(sessionIn('running', { presence: unsure }), request(kind)).refusal?.code).toBe('PRESENCE_UNKNOWN');
    }
  });

  test('a success is not believed before the release was decided', () => {
    expect(settle(sessionIn('resident'), finished('succeeded')).refusal?.code).toBe('INTERNAL');
  });
});

describe('a broker that falls silent', () => {
  const silent: SessionEvent = { type: 'broker_silent', source: 's' };
  const heard: SessionEvent = { type: 'broker_heard', source: 's' };

  const withMachine = machineStateNames.filter((state) => machineStates[state].machine !== 'absent');

  test.each(withMachine)('in %s: no save or stop goes on, and whoever is there stays there', (machine) => {
    const { session, effects } = settle(sessionIn(machine, { presence: left }), silent);
    expect(occupancy(session.presence)).toBe('unknown');
    expect(session).toMatchObject({ absence: null, doubtSinceMs: nowMs, deadlineMs: null });
    expect(effects.filter(({ type }) => type === 'open_operation')).toEqual([]);
    expect(settle(session, silent).outcome).toBe('stale');
    const back = settle(session, heard, nowMs + 5_000).session;
    expect(back).toMatchObject({ absence: { sinceMs: nowMs + 5_000, cause: 'unknown' }, doubtSinceMs: null });
    expect(back.presence).toEqual(left);
  });

  test('and speaks of one that has no machine says nothing of it', () => {
    for (const machine of ['off', 'saved', 'restore-blocked'] as const) {
      expect(settle(sessionIn(machine, { presence: left }), silent).outcome).toBe('ignored');
    }
  });

  test('is none of a desktop’s brokers: nothing changes', () => {
    const other: SessionEvent = { type: 'broker_silent', source: 'other' };
    expect(settle(sessionIn('running', { presence: alice }), other).outcome).toBe('stale');
  });

  test('and is retired leaves what the others say, and nothing in doubt', () => {
    const retired: SessionEvent = { type: 'broker_retired', source: 's' };
    const doubted = settle(sessionIn('running', { presence: left }), silent).session;
    const { session } = settle(doubted, retired, nowMs + 5_000);
    expect(session).toMatchObject({
      machine: 'grace',
      absence: { cause: 'unknown', sinceMs: nowMs + 5_000 },
      deadlineMs: nowMs + 5_000 + policy.graceMs,
      doubtSinceMs: null,
    });
    expect(settle(session, retired).outcome).toBe('stale');
    const shared = nextOf(alice, connected('bob', { source: 'other' }));
    const used = settle(settle(sessionIn('running', { presence: shared }), silent).session, retired).session;
    expect(occupancy(used.presence)).toBe('present');
    expect(used).toMatchObject({ machine: 'running', absence: null });
  });

  test.each(machineStateNames)(
    'and is heard again, in %s: of a user who was there all the while nobody is told',
    (machine) => {
      const { presence } = settle(sessionIn('running'), connect()).session;
      const before = sessionIn(machine, { presence, deadlineMs: null });
      const again = settle(settle(before, silent).session, heard).session;
      expect(again.presence).toEqual(presence);
      if (machine !== 'grace' && machine !== 'save-failed' && machine !== 'queued') {
        expect({ machine: again.machine, operation: again.operation }).toEqual({
          machine,
          operation: before.operation,
        });
      }
    },
  );

  test('has told of one desktop by a snapshot: that is believed until it has been heard and falls silent again', () => {
    const told = settle(
      settle(sessionIn('running', { presence: left }), silent).session,
      broker('vdc.broker.snapshot', { connectionIds: [] }),
    );
    expect(occupancy(told.session.presence)).toBe('empty');
    expect(settle(told.session, silent).outcome).toBe('stale');
    const again = settle(settle(told.session, heard).session, silent).session;
    expect(occupancy(again.presence)).toBe('unknown');
  });

  test('leaves a desktop alone that waits for its first user', () => {
    expect(settle(sessionIn('running', { absence: null, presence: left }), silent)).toMatchObject({
      outcome: 'ignored',
      effects: [],
    });
  });
});

describe('failures', () => {
  test('a failed save leaves the desktop running and is tried again, later each time', () => {
    const first = settle(sessionIn('saving'), finished('failed', 'STORAGE_FULL')).session;
    expect(first).toMatchObject({
      machine: 'save-failed',
      deadlineMs: nowMs + 60_000,
      lastError: { code: 'STORAGE_FULL' },
    });
    const fourth = settle(sessionIn('saving', { saveFailures: 3 }), finished('failed')).session;
    expect(fourth.deadlineMs).toBe(nowMs + 240_000);
    const many = settle(sessionIn('saving', { saveFailures: 300 }), finished('failed')).session;
    expect(many.deadlineMs).toBe(nowMs + 900_000);
  });

  test('a failed wake leaves the desktop asleep; the third in a row blocks it', () => {
    const at = (restoreFailures: number) =>
      settle(sessionIn('restoring', { restoreFailures }), finished('failed', 'STORAGE_FULL')).session.machine;
    expect([at(0), at(1), at(2)]).toEqual(['saved', 'saved', 'restore-blocked']);
  });

  describe('a failed wake of a desktop whose user is there', () => {
    const { presence } = settle(sessionIn('running'), connect()).session;
    const failing = (changes: Partial<Session> = {}) =>
      settle(sessionIn('restoring', { presence, ...changes }), finished('failed', 'STORAGE_FAILED'));

    test('is tried again, later each time, for as long as it is not hopeless', () => {
      const pauses = [0, 1, 2, 3, 4, 40].map((wakesInVain) => failing({ wakesInVain }).session.deadlineMs! - nowMs);
      expect(pauses).toEqual([5_000, 10_000, 20_000, 40_000, 60_000, 60_000]);
      expect(failing().session).toMatchObject({ machine: 'saved', wakesInVain: 1, restoreFailures: 0 });
      const again = failing().session;
      const fired = decide(again, { type: 'grace_elapsed', generation: again.generation }, pool, again.deadlineMs!);
      expect(fired.session).toMatchObject({ machine: 'restoring', operation: { requestedBy: brokerActor } });
    });

    test('is not tried again once they have gone, nor sooner than said', () => {
      const { session } = failing();
      const timer = { type: 'grace_elapsed', generation: session.generation } as const;
      expect(decide(session, timer, pool, session.deadlineMs! - 1_000).outcome).toBe('ignored');
      const left = settle(session, disconnect());
      expect(left.session).toMatchObject({ machine: 'saved', deadlineMs: null });
      expect(left.effects).toEqual([{ type: 'unschedule_grace', generation: session.generation }]);
    });

    test('is tried at once when they come again, and the count begins anew when the guest runs', () => {
      const { session } = settle(failing({ wakesInVain: 3 }).session, connect('another'));
      expect(session).toMatchObject({ machine: 'restoring', deadlineMs: null, wakesInVain: 4 });
      const running = settle(session, { type: 'guest_ran', generation: session.generation }).session;
      expect(running.wakesInVain).toBe(0);
    });
  });

  test('a damaged checkpoint blocks the wake at once, until somebody asks for it', () => {
    const blocked = settle(sessionIn('restoring'), finished('failed', 'CHECKPOINT_CORRUPT')).session;
    expect(blocked.machine).toBe('restore-blocked');
    expect(settle(blocked, connect()).session.machine).toBe('restore-blocked');
    expect(settle(blocked, request('restore')).session.machine).toBe('restoring');
  });

  test('a guest lost before its memory is whole is not silently set back', () => {
    expect(settle(sessionIn('hydrating'), finished('failed', 'STORAGE_FULL')).session.machine).toBe('restore-blocked');
  });

  test('a release of which nobody knows how it ended puts the desktop in quarantine', () => {
    const releasing = sessionIn('resident', { operation: operation('save', 'release') });
    const { session } = settle(releasing, finished('failed'));
    expect(session.machine).toBe('quarantined');
    expect(settle(session, eventOf.foundAbsent).session.machine).toBe('restore-blocked');
  });

  test('a first registration that is refused removes the desktop; a later one leaves it as it was', () => {
    const refused = settle(sessionIn('registering', { accepted: false }), finished('failed'));
    expect(refused.effects).toContainEqual({ type: 'remove_desktop' });
    expect(settle(sessionIn('registering'), finished('failed')).session.machine).toBe('off');
  });

  test('a machine that has gone by itself leaves the desktop off', () => {
    const { session, effects } = settle(sessionIn('grace'), eventOf.foundAbsent);
    expect(session).toMatchObject({ machine: 'off', deadlineMs: null, lastError: { code: 'MACHINE_GONE' } });
    expect(effects).toEqual([{ type: 'unschedule_grace', generation: 7 }]);
  });
});

describe('a restore of a checkpoint that was named', () => {
  const older = '7e58a8a5-8b9f-4a2e-9d0e-2f4d2a3b1c00';

  test.each(['saved', 'restore-blocked'] as const)('goes back to it from %s, and notes where it began', (from) => {
    const { session, effects } = settle(sessionIn(from), restoreOf(older));
    const goingBack = { checkpointId: older, from };
    expect(session).toMatchObject({ machine: 'restoring', operation: { kind: 'restore', goingBack } });
    expect(effects).toEqual([expect.objectContaining({ type: 'open_operation', goingBack })]);
  });

  test('is an ordinary one when it names the desktop’s own', () => {
    expect(settle(sessionIn('saved'), restoreOf(older, true)).session.operation?.goingBack).toBeNull();
  });

  test.each([
    ['saved', 'STORAGE_FULL'],
    ['saved', 'CHECKPOINT_CORRUPT'],
    ['restore-blocked', 'STORAGE_FULL'],
    ['restore-blocked', 'CHECKPOINT_CORRUPT'],
  ] as const)('that fails before the guest runs leaves the desktop %s, also for %s', (from, code) => {
    const { session } = settle(sessionIn(from, { restoreFailures: 2 }), restoreOf(older));
    const failed = decide(session, { ...finished('failed', code), generation: session.generation }, pool, nowMs);
    expect(failed.session).toMatchObject({ machine: from, operation: null, restoreFailures: 2, lastError: { code } });
  });

  test('that fails while memory comes is not followed by a silent wake of another: an operator decides', () => {
    const goingBack = { checkpointId: older, from: 'saved' as const };
    const session = sessionIn('hydrating', { operation: { ...operation('restore', 'hydrate'), goingBack } });
    expect(settle(session, finished('failed', 'STORAGE_FULL')).session.machine).toBe('restore-blocked');
  });

  test('joins a restore of the same, and is refused while another is woken', () => {
    const { session } = settle(sessionIn('saved'), restoreOf(older));
    expect(settle(session, restoreOf(older)).outcome).toBe('joined');
    expect(settle(session, request('restore')).outcome).toBe('joined');
    expect(settle(session, restoreOf('another')).refusal?.code).toBe('DESKTOP_BUSY');
    expect(settle(session, restoreOf('its own', true)).refusal?.code).toBe('DESKTOP_BUSY');
    expect(settle(sessionIn('restoring'), restoreOf('its own', true)).outcome).toBe('joined');
    expect(settle(sessionIn('hydrating'), restoreOf(older)).refusal?.code).toBe('DESKTOP_BUSY');
  });

  test('while the desktop runs is refused', () => {
    expect(settle(sessionIn('running'), restoreOf(older)).refusal?.message).toMatch(/saved, .*restore-blocked/);
  });
});

describe('requests', () => {
  test('that make no sense now say when they would', () => {
    expect(settle(sessionIn('saved'), request('boot')).refusal).toEqual({
      code: 'DESKTOP_BUSY',
      message: 'the desktop is saved; this is possible when it is off, booting, restore-blocked',
    });
  });

  test('for what is under way join it', () => {
    for (const state of ['queued', 'saving', 'committing', 'resident'] as const) {
      expect(settle(sessionIn(state), request('save')).outcome).toBe('joined');
    }
    for (const state of ['restoring', 'hydrating'] as const) {
      expect(settle(sessionIn(state), request('restore')).outcome).toBe('joined');
    }
  });

  test('a stop that no worker has begun is called off by a user; one that was begun is followed by a boot', () => {
    const waiting = settle(sessionIn('running', { operation: operation('stop', 'stop', false) }), connect());
    expect(waiting.session).toMatchObject({ machine: 'running', operation: null });
    const begun = settle(sessionIn('running', { operation: operation('stop') }), connect());
    expect(settle(begun.session, finished('succeeded')).session).toMatchObject({ machine: 'booting' });
  });
});

describe('a forced request', () => {
  const forced = (kind: 'save' | 'stop'): SessionEvent => ({ ...request(kind), force: true }) as SessionEvent;
  const present = { presence: alice };

  test.each(['save', 'stop'] as const)('%s is taken although a user is there, or may be', (kind) => {
    for (const presence of [alice, unsure]) {
      expect(settle(sessionIn('running', { presence }), request(kind)).outcome).toBe('refused');
      const decision = settle(sessionIn('running', { presence }), forced(kind));
      expect(decision.session.operation).toMatchObject({ kind, forced: true });
    }
  });

  test('save is not hindered by whoever was there, from its claim to its release, and the desktop then stays asleep', () => {
    const save = { ...operation('save'), forced: true };
    const at = (machine: MachineState, phase: OperationPhase) =>
      sessionIn(machine, { ...present, operation: { ...save, phase } });
    expect(settle(at('queued', 'queued'), report('claimed')).session.machine).toBe('saving');
    expect(settle(at('saving', 'capture'), report('switchover_reached')).session.machine).toBe('committing');
    expect(settle(at('committing', 'commit'), report('checkpoint_durable')).session.machine).toBe('resident');
    expect(settle(at('resident', 'commit'), report('release_reached')).outcome).toBe('applied');
    expect(settle(at('resident', 'release'), finished('succeeded')).session).toMatchObject({
      machine: 'saved',
      operation: null,
    });
  });

  test('save is called off by a user who arrives, and one who arrives too late is woken', () => {
    const save = { ...operation('save', 'capture'), forced: true };
    const arrived = settle(sessionIn('saving', { ...present, operation: save }), connect('bob'));
    expect(arrived.session.operation).toMatchObject({ cancelRequested: true });
    expect(settle(arrived.session, report('switchover_reached')).outcome).toBe('refused');
    const releasing = sessionIn('resident', { ...present, operation: { ...save, phase: 'release' } });
    const late = settle(releasing, connect('bob'));
    expect(late.session.operation).toMatchObject({ cancelRequested: false });
    expect(settle(late.session, finished('succeeded')).session).toMatchObject({ machine: 'restoring' });
  });

  test('for a save under way makes that one forced', () => {
    const decision = settle(sessionIn('saving', present), forced('save'));
    expect(decision).toMatchObject({ outcome: 'joined', session: { operation: { forced: true } } });
    expect(settle(decision.session, report('switchover_reached')).session.machine).toBe('committing');
  });

  test('save stays queued when presence turns unknown', () => {
    const presence = left;
    const restarted = broker('vdc.session.idle', { brokerEpoch: 'e2', sequence: 1 });
    const asUsual = sessionIn('queued', { presence });
    expect(settle(asUsual, restarted).session).toMatchObject({ machine: 'running', operation: null });
    const forcedOne = sessionIn('queued', { presence, operation: { ...operation('save'), forced: true } });
    expect(settle(forcedOne, restarted).session).toMatchObject({ machine: 'queued', operation: { forced: true } });
  });

  test('for a save that is being called off is refused', () => {
    const calledOff = { ...operation('save', 'capture'), cancelRequested: true };
    for (const presence of [alice, nobody]) {
      const decision = settle(sessionIn('saving', { presence, operation: calledOff }), forced('save'));
      expect(decision.outcome).toBe('refused');
    }
  });

  test('stop is not followed by a boot for the user it put out, but for one who arrives meanwhile', () => {
    const stopping = sessionIn('running', { ...present, operation: { ...operation('stop'), forced: true } });
    expect(settle(stopping, finished('succeeded')).session).toMatchObject({ machine: 'off', operation: null });
    const arrived = settle(stopping, connect('bob'));
    expect(settle(arrived.session, finished('succeeded')).session).toMatchObject({ machine: 'booting' });
    const joined = settle(sessionIn('running', { operation: operation('stop') }), forced('stop'));
    expect(joined).toMatchObject({ outcome: 'joined', session: { operation: { forced: true } } });
  });
});

describe('a stop by force overtakes whatever is under way', () => {
  const stop = { ...request('stop'), force: true } as SessionEvent;
  const overtakes = (machine: MachineState, changes: Partial<Session> = {}): Decision => {
    const before = sessionIn(machine, changes);
    const decision = settle(before, stop);
    expect(decision.outcome).toBe('applied');
    expect(decision.session.operation).toMatchObject({ kind: 'stop', status: 'pending', forced: true });
    expect(decision.session.generation).toBeGreaterThan(before.generation);
    expect(decision.effects).toContainEqual(
      expect.objectContaining({ type: 'end_operation', status: 'cancelled', generation: 7 }),
    );
    return decision;
  };
  const afterwards = ({ session }: Decision): MachineState =>
    settle(session, { ...finished('succeeded'), generation: session.generation }).session.machine;

  test.each(['booting', 'queued', 'saving', 'committing'] as const)('while %s: the desktop is off', (machine) => {
    const decision = overtakes(machine, { presence: alice });
    expect(decision.session.machine).toBe('running');
    expect(afterwards(decision)).toBe('off');
  });

  test.each(['resident', 'restoring'] as const)(
    'while %s: its checkpoint has all there is, so it sleeps',
    (machine) => {
      const decision = overtakes(machine);
      expect(decision.session.machine).toBe('quarantined');
      expect(afterwards(decision)).toBe('saved');
    },
  );

  test('while it wakes from a checkpoint that was named: it is where it was before', () => {
    const goingBack = { checkpointId: 'older', from: 'restore-blocked' } as const;
    const decision = overtakes('restoring', { operation: { ...operation('restore'), goingBack } });
    expect(afterwards(decision)).toBe('restore-blocked');
  });

  test('while its memory comes: an operator decides what is gone on from', () => {
    expect(afterwards(overtakes('hydrating', { presence: alice }))).toBe('restore-blocked');
  });

  test('a user who comes before it has ended is woken after it, and does not call it off', () => {
    const arrived = settle(overtakes('restoring').session, connect());
    expect(arrived.session.operation).toMatchObject({ kind: 'stop' });
    expect(afterwards(arrived)).toBe('restoring');
  });

  test('what its worker reports after that is stale', () => {
    const { session } = overtakes('committing');
    expect(settle(session, report('checkpoint_durable')).outcome).toBe('stale');
  });

  test('one that is not forced is refused, and says what would end it', () => {
    const decision = settle(sessionIn('saving'), request('stop'));
    expect(decision.refusal).toMatchObject({
      code: 'DESKTOP_BUSY',
      message: expect.stringContaining('force the stop'),
    });
  });
});

test('every operation begins in the first of its phases', () => {
  for (const kind of Object.keys(operationKinds) as OperationKind[]) {
    expect(firstPhase(kind)).toBe(operationKinds[kind].phases[0]);
  }
});

describe('a guest shuts down', () => {
  const shutDown = finished('failed', 'GUEST_SHUT_DOWN');

  test.each<[MachineState, string]>([
    ['hydrating', 'succeeded'],
    ['restoring', 'succeeded'],
    ['saving', 'cancelled'],
    ['committing', 'cancelled'],
  ])(
    'while it is %s: the desktop is off, what was under way has %s, and nothing is told as an error',
    (state, status) => {
      const { session, effects } = settle(sessionIn(state), shutDown);
      expect(session).toMatchObject({ machine: 'off', operation: null, lastError: null });
      expect(effects).toEqual([expect.objectContaining({ type: 'end_operation', status })]);
    },
  );

  test.each<MachineState>(['running', 'grace', 'save-failed'])(
    'while it is %s: the desktop is off, and no error is told',
    (state) => {
      const { session } = settle(sessionIn(state, { operation: null, presence: alice }), {
        type: 'machine_observed',
        observed: 'shut-down',
      });
      expect(session).toMatchObject({ machine: 'off', lastError: null, deadlineMs: null });
    },
  );
});

test('a wake whose guest has written before it was lost waits for an operator: to wake again would lose that', () => {
  for (const goingBack of [null, { checkpointId: 'older', from: 'saved' as const }]) {
    const operation = { ...sessionIn('restoring').operation!, goingBack };
    const { session } = settle(
      sessionIn('restoring', { operation, presence: alice }),
      finished('failed', 'WAKE_INTERRUPTED'),
    );
    expect(session).toMatchObject({ machine: 'restore-blocked', lastError: { code: 'WAKE_INTERRUPTED' } });
  }
});

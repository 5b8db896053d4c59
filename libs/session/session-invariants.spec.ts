import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { DesktopEvent } from './broker-events';
import { decide } from './decide';
import { machineStates } from './machine-states';
import { operationKindNames, type OperationKind } from './operations';
import { defaultPoolPolicy } from './pool-policy';
import { occupancy } from './presence';
import { newSession, type Decision, type Session, type SessionEvent } from './session';

const policy = { ...defaultPoolPolicy, graceMs: 10_000 };
const connections = ['a', 'b'] as const;

/** One thing that happens in the world around a session. */
type Happening =
  | { do: 'broker'; type: DesktopEvent['type']; connection: string; late: number; lost: boolean; restart: boolean }
  | { do: 'wait'; ms: number }
  | { do: 'timer' }
  | { do: 'request'; kind: OperationKind; force: boolean; checkpoint: 'own' | 'other' | null }
  | { do: 'work'; failing: boolean; unhelpful: boolean }
  | { do: 'stale report' }
  | { do: 'observe'; observed: 'absent' | 'running' };

const brokerHappening = fc.record({
  do: fc.constant('broker' as const),
  type: fc.constantFrom<DesktopEvent['type'][]>(
    'vdc.session.connected',
    'vdc.session.reconnected',
    'vdc.session.disconnected',
    'vdc.session.disconnected',
    'vdc.session.connect_requested',
    'vdc.session.idle',
    'vdc.broker.snapshot',
  ),
  connection: fc.constantFrom(...connections),
  late: fc.integer({ min: 0, max: 2 }),
  lost: fc.nat(120).map((dice) => dice === 0),
  restart: fc.nat(160).map((dice) => dice === 0),
});

const happening: fc.Arbitrary<Happening> = fc.oneof(
  { weight: 5, arbitrary: brokerHappening },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(1_000, 11_000, 70_000) }) },
  { weight: 4, arbitrary: fc.constant({ do: 'timer' as const }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('request' as const),
      kind: fc.constantFrom(...operationKindNames),
      force: fc.boolean(),
      checkpoint: fc.constantFrom(null, 'own' as const, 'other' as const),
    }),
  },
  {
    weight: 9,
    arbitrary: fc.record({
      do: fc.constant('work' as const),
      failing: fc.nat(12).map((dice) => dice === 0),
      unhelpful: fc.nat(12).map((dice) => dice === 0),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'stale report' as const }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('observe' as const),
      observed: fc.constantFrom('absent' as const, 'running' as const),
    }),
  },
);

/** A desktop, its broker and its worker; holds every decision against what must never be. */
class World {
  session: Session = newSession(0, 'anna');
  nowMs = 1_000_000;
  private openOperations = 1;
  private epoch = 1;
  private sequence = 0;
  private truth = new Set<string>();
  private readonly onTheirWay: DesktopEvent[] = [];
  /** An admin had the desktop put away in spite of whoever was there, and nobody has come since. */
  private putAway = false;

  happens(next: Happening): void {
    switch (next.do) {
      case 'wait':
        this.nowMs += next.ms;
        return;
      case 'timer':
        if (this.session.deadlineMs === null) return;
        return void this.tell({ type: 'grace_elapsed', generation: this.session.generation });
      case 'request':
        return this.adminAsks(next);
      case 'observe':
        return void this.tell({ type: 'machine_observed', observed: next.observed });
      case 'stale report':
        return this.changesNothing({ type: 'switchover_reached', generation: this.session.generation - 1 });
      case 'work':
        return this.work(next);
      case 'broker':
        return this.brokerSends(next);
    }
  }

  /** What is still on its way arrives; the worker and the timers do what they have to, until nothing is left to do. */
  comesToRest(): void {
    for (const event of this.onTheirWay.splice(0)) this.deliver(event);
    for (let turn = 0; turn < 50; turn += 1) {
      if (this.session.operation !== null) this.work({ failing: false, unhelpful: false });
      else if (this.session.deadlineMs !== null) {
        this.nowMs = Math.max(this.nowMs, this.session.deadlineMs);
        this.tell({ type: 'grace_elapsed', generation: this.session.generation });
      } else {
        const { presence, lastError } = this.session;
        if (occupancy(presence) === 'present' && lastError === null && !this.putAway) this.userIsServed();
        return;
      }
    }
    throw new Error(`never comes to rest: ${JSON.stringify(this.session)}`);
  }

  private adminAsks({ kind, force, checkpoint }: Happening & { do: 'request' }): void {
    const named = kind === 'restore' && checkpoint !== null && this.session.checkpointed;
    const { outcome } = this.tell({
      type: 'request',
      kind,
      reason: 'test',
      requestedBy: 'anna',
      force,
      ...(named && { checkpoint: { id: checkpoint, current: checkpoint === 'own' } }),
    });
    if (force && (kind === 'save' || kind === 'stop') && outcome !== 'refused') this.putAway = true;
  }

  private brokerSends({ type, connection, late, lost, restart }: Happening & { do: 'broker' }): void {
    if (restart) {
      this.epoch += 1;
      this.sequence = 0;
    }
    this.sequence += 1;
    if (type === 'vdc.session.disconnected') this.truth.delete(connection);
    if (type === 'vdc.session.connected' || type === 'vdc.session.reconnected') this.truth.add(connection);
    const base = { id: 'x', source: 's', occurredAt: null, data: {}, desktopId: 'd', poolId: null, userRef: null };
    const event = {
      ...base,
      type,
      brokerEpoch: `e${this.epoch}`,
      sequence: this.sequence,
      connectionId: connection,
      connectionIds: [...this.truth],
    } as unknown as DesktopEvent;
    // A lost event is made good by the snapshot that the broker sends when it notices.
    if (!lost) this.onTheirWay.splice(Math.max(0, this.onTheirWay.length - late), 0, event);
    while (this.onTheirWay.length > 2) this.deliver(this.onTheirWay.shift()!);
  }

  private deliver(event: DesktopEvent): void {
    const { outcome } = this.tell({ type: 'broker', event });
    this.changesNothing({ type: 'broker', event });
    const isConnect = event.type === 'vdc.session.connected' || event.type === 'vdc.session.reconnected';
    if (outcome === 'applied' && isConnect && this.session.presence.connections.includes(event.connectionId)) {
      this.putAway = false;
      this.userIsServed();
    }
  }

  private userIsServed(): void {
    const { machine, operation } = this.session;
    const ready = ['running', 'hydrating'].includes(machine);
    const coming = operation !== null && ['register', 'boot', 'restore', 'stop'].includes(operation.kind);
    const calledOff = operation?.kind === 'save' && (operation.cancelRequested || operation.phase === 'release');
    const operatorNeeded = ['restore-blocked', 'quarantined'].includes(machine);
    assert(ready || coming || calledOff || operatorNeeded, `a user finds a desktop that is ${machine}`);
  }

  /** The worker of the open operation takes its next step. */
  private work({ failing, unhelpful }: { failing: boolean; unhelpful: boolean }): void {
    const { operation, generation } = this.session;
    if (operation === null) return;
    const finish = (status: 'succeeded' | 'failed' | 'cancelled') =>
      void this.tell({
        type: 'operation_finished',
        generation,
        status,
        error: status === 'failed' ? { code: 'STORAGE_FULL', message: 'full', details: {} } : null,
      });
    if (operation.status === 'pending') return void this.tell({ type: 'claimed', generation });
    if (failing) return finish('failed');
    if (unhelpful) return finish('cancelled');
    if (operation.cancelRequested) return finish('cancelled');
    const { phase } = operation;
    const { machine } = this.session;
    if (phase === 'capture') return this.risks({ type: 'switchover_reached', generation });
    if (phase === 'switchover') return this.risks({ type: 'checkpoint_durable', generation });
    if (phase === 'commit') return this.risks({ type: 'release_reached', generation });
    if (phase === 'place') return void this.tell({ type: 'phase_reached', generation, phase: 'wake' });
    if (machine === 'restoring') return void this.tell({ type: 'guest_ran', generation });
    return finish('succeeded');
  }

  private risks(event: SessionEvent): void {
    const before = this.session;
    const { outcome } = this.tell(event);
    if (outcome === 'applied') assert(before.operation?.forced === true || occupancy(before.presence) === 'empty');
    else assert.equal(this.session.operation?.cancelRequested, true);
  }

  private changesNothing(event: SessionEvent): void {
    const before = this.session;
    const { outcome, effects } = this.tell(event);
    assert.deepEqual([outcome, effects], ['stale', []]);
    assert.equal(this.session, before);
  }

  private tell(event: SessionEvent): Decision {
    const before = this.session;
    const decision = decide(before, event, policy, this.nowMs);
    this.session = decision.session;
    this.check(before, decision);
    if (decision.effects.some(({ type }) => type === 'remove_desktop')) this.registerAnew();
    return decision;
  }

  private check(before: Session, { session, effects }: Decision): void {
    for (const effect of effects) {
      if (effect.type === 'end_operation') this.openOperations -= 1;
      if (effect.type === 'open_operation') this.openOperations += 1;
      assert(this.openOperations <= 1, 'two operations are open');
      if (
        effect.type === 'open_operation' &&
        ['save', 'stop'].includes(effect.kind) &&
        before.machine !== 'quarantined'
      ) {
        assert(effect.forced || occupancy(session.presence) === 'empty', `a ${effect.kind} begins`);
      }
    }
    assert.equal(session.operation === null ? 0 : 1, this.openOperations);
    assert(session.generation >= before.generation, 'the generation went back');

    if (effects.some(({ type }) => type === 'remove_desktop')) return;
    const { operation, held } = machineStates[session.machine];
    if (held === 'never') assert.equal(session.operation, null);
    if (held === 'always' || session.operation !== null) assert.equal(session.operation?.kind, operation);
    assert.equal(session.deadlineMs !== null, session.machine === 'grace' || session.machine === 'save-failed');
  }

  private registerAnew(): void {
    this.session = newSession(this.session.generation, 'anna');
    this.openOperations = 1;
    this.onTheirWay.splice(0);
    this.epoch += 1;
    this.sequence = 0;
    this.truth.clear();
  }
}

test('no sequence of events, faults and clock steps breaks an invariant, and all of them come to rest', () => {
  fc.assert(
    fc.property(fc.array(happening, { minLength: 1, maxLength: 250, size: 'max' }), (happenings) => {
      const world = new World();
      for (const next of happenings) world.happens(next);
      world.comesToRest();
    }),
    { numRuns: 4_000 },
  );
});

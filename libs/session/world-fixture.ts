import assert from 'node:assert/strict';
import type { DesktopEvent } from './broker-events';
import { decide } from './decide';
import { explain, type Circumstances } from './explain';
import { sources, type Happening, type Source } from './happenings-fixture';
import { machineStateNames, machineStates } from './machine-states';
import { operationKindNames } from './operations';
import { planFor, type Pool } from './plan';
import type { PoolPolicy } from './pool-policy';
import { openOf } from './connections';
import { occupancy, partOf, visibleConnections } from './presence';
import { newSession, policyActor, type Decision, type Effect, type Session, type SessionEvent } from './session';
import type { SequenceNumbers } from './sequence-numbers';
import { doubtsOf } from './doubt';
import { releasedAt, type Storm } from './storm';

const base: PoolPolicy = { graceMs: 10_000, keepCheckpoints: 2, brokers: 'any' };
const policies: readonly PoolPolicy[] = [
  base,
  { ...base, graceMsByReason: { idle: 0, network: 60_000 }, logoff: { action: 'power-off', settleMs: 3_000 } },
  { ...base, minResidencyMs: 60_000, lingerMs: 15_000, logoff: { action: 'save', settleMs: 3_000 } },
  { ...base, neverSave: true, forgetUnused: true },
  { ...base, forgetUnused: true },
];

const usual: Circumstances = {
  reason: null,
  waitingFor: null,
  hostId: 'h',
  hostSilentSinceMs: null,
  draining: null,
  rungs: [],
  condition: null,
  waitingForStorage: null,
};

/** A broker as it knows itself. */
interface Broker {
  epoch: number;
  sequence: number;
  readonly truth: Set<string>;
  /** Numbers of this epoch that have not come, and that nothing which has come makes good; and the highest that has come. */
  readonly outstanding: Set<number>;
  highest: number;
  /** All that it has sent has come, or will; else since a snapshot has come that makes it good. */
  isWhole: boolean;
}

/** Two clocks may differ by this much. */
const slackMs = 100;

/** A desktop, its broker, its host and its timers; holds every decision against what must never be. */
export class World {
  /** Every state, every end of an operation and every wait that a sequence should come across. */
  static readonly everythingToSee: ReadonlySet<string> = new Set([
    ...machineStateNames,
    ...operationKindNames.flatMap((kind) => ['succeeded', 'failed', 'cancelled'].map((how) => `${kind} ${how}`)),
    ...['grace', 'settling', 'residency', 'storm', 'hold'].map((wait) => `waits for ${wait}`),
    'stops a desktop whose user has logged off',
    'lingers',
    'is saved once more',
    'is back while it lingers',
    'falls back to its checkpoint',
    'boots from its disk alone',
    'is woken again for its user',
    'its broker falls silent',
    'a broker is retired',
    'another broker may not speak of it',
    'it is given to another broker',
    'an event is told again',
    'the first event is missing',
    'what is missing comes',
    'two brokers have users there',
  ]);

  readonly seen = new Set<string>();
  session: Session;
  pool: Pool = { policy: base, storms: [] };
  private nowMs = 1_000_000;
  /** Timers that are set: when each fires, by its generation. */
  private readonly timers = new Map<number, number>();
  /** When a worker takes up what was left to it. */
  private resumesAtMs = 0;
  /** A QEMU of this desktop is there. */
  private live = false;
  private readonly saving = { durable: false, letGo: false };
  private openOperations = 1;
  private readonly brokers: Record<Source, Broker> = { numbers: broker(), both: broker(), times: broker() };
  private readonly onTheirWay: DesktopEvent[] = [];
  /** Told before, and to be told again. */
  private readonly again: DesktopEvent[] = [];
  /** An admin had the desktop put away in spite of whoever was there, and nobody has come since. */
  private putAway = false;
  /** Somebody was or may have been there since the machine was last wanted. */
  private touched = true;
  /** Since the machine was last wanted. */
  private loggedOff = false;

  constructor() {
    this.session = this.registered(0);
  }

  happens(next: Happening): void {
    switch (next.do) {
      case 'wait':
        this.nowMs += next.ms;
        return;
      case 'timer':
        return this.timerFires();
      case 'request':
        return this.adminAsks(next);
      case 'cancel':
        return void this.tell({
          type: 'cancel_asked',
          generation: this.session.generation,
          requestedBy: 'anna',
          reason: 'test',
        });
      case 'hold':
        return void this.tell({ type: 'hold_set', untilMs: next.ms === null ? null : this.nowMs + next.ms });
      case 'policy':
        this.pool = { ...this.pool, policy: { ...policies[next.index]!, brokers: this.pool.policy.brokers ?? 'any' } };
        this.tell({ type: 'pool_changed' });
        return this.sameAgain();
      case 'storm':
        this.pool = { ...this.pool, storms: [this.storm()] };
        return;
      case 'silence':
        return this.brokerIsSilent(next.source, !next.ends);
      case 'retire':
        return this.brokerIsRetired(next.source);
      case 'brokers':
        this.pool = { ...this.pool, policy: { ...this.pool.policy, brokers: next.who } };
        return;
      case 'name':
        return this.brokerIsNamed(next.source);
      case 'crash':
        this.live = false;
        return;
      case 'census':
        return void this.tell({ type: 'machine_observed', observed: this.live ? 'running' : 'absent' });
      case 'stale report':
        return this.changesNothing({ type: 'switchover_reached', generation: this.session.generation - 1 });
      case 'work':
        return this.work(next.outcome);
      case 'broker':
        return this.brokerSends(next);
      default:
        throw new Error(`nobody knows what happens: ${JSON.stringify(next satisfies never)}`);
    }
  }

  /** What is still on its way arrives; the worker and the timers do what they have to, until nothing is left to do. */
  comesToRest(): void {
    this.allArrives();
    for (const event of this.again.splice(0)) this.toldAgain(event);
    const truth = sources.flatMap((source) => {
      this.brokerIsSilent(source, false);
      const isKnown = partOf(this.session.presence, source) !== null;
      if (!isKnown && this.brokers[source].truth.size === 0) return [];
      return this.deliver(this.snapshotOf(source)) ? [...this.brokers[source].truth] : [];
    });
    assert.deepEqual(visibleConnections(this.session.presence), [...new Set(truth)].sort(), 'who is there');
    assert.notEqual(occupancy(this.session.presence), 'unknown', 'all has been told');
    for (let turn = 0; turn < 50; turn += 1) {
      if (this.session.operation?.phase === 'linger') this.nowMs = Math.max(this.nowMs, this.resumesAtMs);
      if (this.session.operation !== null) this.work('succeeds');
      else if (this.timers.size > 0) this.timerFires();
      else {
        const { presence, lastError } = this.session;
        const isWaiting = occupancy(presence) === 'present' && !this.putAway;
        if (isWaiting && (lastError === null || this.session.machine === 'saved')) this.userIsServed();
        return this.isExplained();
      }
    }
    throw new Error(`never comes to rest: ${JSON.stringify(this.session)}`);
  }

  /** Where nobody is, something is to come, or it is said why not. */
  private isExplained(): void {
    const { next, hindrances } = explain(this.session, this.pool, usual);
    const isSomebody = occupancy(this.session.presence) === 'present';
    assert(isSomebody || next.what !== 'nothing' || hindrances.length > 0, 'nothing happens, and nobody says why');
  }

  /** What the pool wants is what it wanted: nothing is decided anew. */
  private sameAgain(): void {
    const before = this.session;
    const { effects } = this.tell({ type: 'pool_changed' });
    assert.deepEqual({ session: this.session, effects }, { session: before, effects: [] }, 'the same policy again');
  }

  private brokerIsRetired(source: Source): void {
    const event = { type: 'broker_retired', source } as const;
    if (this.tell(event).outcome !== 'stale') this.seen.add('a broker is retired');
    this.changesNothing(event);
    this.beginAnew(source);
  }

  private brokerIsNamed(source: Source | null): void {
    const before = this.session;
    const { outcome, effects } = this.tell({ type: 'broker_named', source });
    assert.deepEqual({ ...this.session, broker: before.broker }, before, 'whose it is moves nothing else');
    assert.equal(effects.length, 0);
    if (outcome === 'applied' && before.broker !== null && source !== null)
      this.seen.add('it is given to another broker');
  }

  private beginAnew(source: Source): void {
    const { epoch } = this.brokers[source];
    this.brokers[source] = { ...broker(), epoch: epoch + 1 };
    for (const events of [this.onTheirWay, this.again]) {
      const others = events.filter((event) => event.source !== source);
      events.splice(0, events.length, ...others);
    }
  }

  private brokerIsSilent(source: Source, isSilent: boolean): void {
    const event = { type: isSilent ? 'broker_silent' : 'broker_heard', source } as const;
    const { outcome } = this.tell(event);
    if (outcome === 'ignored' && isSilent) return;
    const part = partOf(this.session.presence, source);
    assert.equal(part?.silent !== undefined, isSilent && part !== null);
    if (isSilent && outcome !== 'stale') this.seen.add('its broker falls silent');
    this.changesNothing(event);
  }

  private timerFires(): void {
    const [timer] = this.timers;
    if (timer === undefined) return;
    const [generation, atMs] = timer;
    this.nowMs = Math.max(this.nowMs, atMs);
    this.timers.delete(generation);
    const { outcome } = this.tell({ type: 'grace_elapsed', generation });
    assert.equal(outcome, 'applied', 'a deadline has come and nothing was decided');
  }

  private adminAsks({ kind, force, fresh, checkpoint }: Happening & { do: 'request' }): void {
    const named = kind === 'restore' && checkpoint !== null && this.session.checkpointed;
    const { outcome } = this.tell({
      type: 'request',
      kind,
      reason: 'test',
      requestedBy: 'anna',
      force,
      fresh,
      ...(kind === 'boot' && force && { fromDiskAlone: true }),
      ...(named && { checkpoint: { id: checkpoint, current: checkpoint === 'own' } }),
    });
    if (force && (kind === 'save' || kind === 'stop') && outcome !== 'refused') this.putAway = true;
  }

  private brokerSends(happening: Happening & { do: 'broker' }): void {
    const { source, type, connection, reason, late, lost, twice, restart } = happening;
    const sender = this.brokers[source];
    if (restart) {
      // Of an epoch of which nothing has come yet only a time can tell that it is over.
      if (source === 'numbers') {
        this.allArrives();
        for (const event of this.again.splice(0)) this.toldAgain(event);
      }
      sender.epoch += 1;
      sender.sequence = 0;
      sender.highest = 0;
      sender.outstanding.clear();
      sender.isWhole = false;
    }
    if (type === 'vdc.session.disconnected') sender.truth.delete(connection);
    if (type === 'vdc.session.connected' || type === 'vdc.session.reconnected') sender.truth.add(connection);
    const event = this.eventOf(source, { type, reason, connectionId: connection, connectionIds: [...sender.truth] });
    // A lost event is made good by the snapshot that the broker sends when it notices.
    if (lost) sender.isWhole = false;
    if (!lost) this.onTheirWay.splice(Math.max(0, this.onTheirWay.length - late), 0, event);
    while (this.onTheirWay.length > 2) this.deliver(this.onTheirWay.shift()!);
    if (twice && type !== 'vdc.broker.snapshot' && source !== 'times') this.again.push(event);
    if (this.again.length > 2) this.toldAgain(this.again.shift()!);
  }

  private snapshotOf(source: Source): DesktopEvent {
    return this.eventOf(source, { type: 'vdc.broker.snapshot', connectionIds: [...this.brokers[source].truth] });
  }

  private eventOf(source: Source, fields: object): DesktopEvent {
    const sender = this.brokers[source];
    sender.sequence += 1;
    if (source !== 'times') sender.outstanding.add(sender.sequence);
    this.nowMs += 1;
    const about = { id: 'x', data: {}, desktopId: 'd', poolId: null, userRef: null };
    return {
      ...about,
      source,
      brokerEpoch: source === 'times' ? null : `e${sender.epoch}`,
      sequence: source === 'times' ? null : sender.sequence,
      occurredAt: source === 'numbers' ? null : new Date(this.nowMs).toISOString(),
      ...fields,
    } as unknown as DesktopEvent;
  }

  private toldAgain(event: DesktopEvent): void {
    // What is on its way still, or was lost, is told for the first time.
    const numbers = partOf(this.session.presence, event.source)?.numbers;
    const { outcome } = decide(this.session, { type: 'broker', event }, this.pool, this.nowMs);
    if (outcome === 'refused') return;
    if (outcome !== 'stale') {
      assert(numbers === undefined || !hasCome(numbers, event), 'what has come before counts again');
      return void this.deliver(event);
    }
    this.changesNothing({ type: 'broker', event });
    this.seen.add('an event is told again');
  }

  /** @returns whether its broker may say so */
  private deliver(event: DesktopEvent): boolean {
    const before = partOf(this.session.presence, event.source)?.numbers ?? null;
    const isOthers = this.pool.policy.brokers !== 'any' && ![null, event.source].includes(this.session.broker);
    if (isOthers && this.isRefused(event)) return false;
    const mayCorrect = event.type === 'vdc.session.disconnected' || event.type === 'vdc.broker.snapshot';
    assert(!isOthers || (before !== null && mayCorrect), 'a broker moves what is another’s');
    if (event.type === 'vdc.session.logged_off') this.loggedOff = true;
    this.comes(event);
    const { outcome } = this.tell({ type: 'broker', event });
    assert.notEqual(outcome, 'refused', 'a broker may not speak of what is its own');
    const after = partOf(this.session.presence, event.source)?.numbers ?? null;
    this.isTrue(event.source as Source);
    if (before === null && after !== null && after.missing.length > 0) this.seen.add('the first event is missing');
    if ((before?.missing.length ?? 0) > 0 && after?.missing.length === 0) this.seen.add('what is missing comes');
    if (event.source !== 'times') this.changesNothing({ type: 'broker', event });
    const isConnect = event.type === 'vdc.session.connected' || event.type === 'vdc.session.reconnected';
    // One whose disconnect has overtaken it brings nobody.
    if (outcome === 'applied' && isConnect && visibleConnections(this.session.presence).includes(event.connectionId)) {
      this.putAway = false;
      this.userIsServed();
    }
    return true;
  }

  /** What is refused is not sent again: it is missing like what was lost. */
  private isRefused(event: DesktopEvent): boolean {
    if (decide(this.session, { type: 'broker', event }, this.pool, this.nowMs).outcome !== 'refused') return false;
    this.changesNothing({ type: 'broker', event });
    this.brokers[event.source as Source].isWhole = false;
    if (this.again.includes(event)) this.again.splice(this.again.indexOf(event), 1);
    this.seen.add('another broker may not speak of it');
    return true;
  }

  /** A snapshot makes good whatever was told before it. */
  private comes(event: DesktopEvent): void {
    const { source, brokerEpoch, sequence } = event;
    const sender = this.brokers[source as Source];
    if (event.type === 'vdc.broker.snapshot' && !this.isUnderWay(source)) {
      const told = new Set(event.connectionIds);
      const saysAll = told.size === sender.truth.size && [...told].every((id) => sender.truth.has(id));
      sender.isWhole ||= source === 'times' ? saysAll : sequence === sender.sequence;
    }
    if (sequence === null || brokerEpoch !== `e${sender.epoch}`) return;
    sender.highest = Math.max(sender.highest, sequence);
    for (const number of sender.outstanding) {
      if (number === sequence || (event.type === 'vdc.broker.snapshot' && number < sequence))
        sender.outstanding.delete(number);
    }
  }

  private isUnderWay(source: string): boolean {
    return this.onTheirWay.some((event) => event.source === source);
  }

  private allArrives(): void {
    while (this.onTheirWay.length > 0) this.deliver(this.onTheirWay.shift()!);
  }

  /** In whatever order and however often it was told: once all has come, what is known of a broker's users is the truth. */
  private isTrue(source: Source): void {
    const { isWhole, outstanding, truth } = this.brokers[source];
    if (!isWhole || outstanding.size > 0 || this.isUnderWay(source)) return;
    const known = openOf(partOf(this.session.presence, source)?.connections ?? []);
    assert.deepEqual([...known].sort(), [...truth].sort(), `all of ${source} has come, and others are there`);
  }

  /** Numbers of all brokers that have been overtaken and are still to come. */
  private overtaken(): readonly [Broker, number][] {
    return Object.values(this.brokers).flatMap((sender: Broker) =>
      [...sender.outstanding].flatMap((number): [Broker, number][] =>
        number < sender.highest ? [[sender, number]] : [],
      ),
    );
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
  private work(outcome: (Happening & { do: 'work' })['outcome']): void {
    const { operation, generation, machine } = this.session;
    if (operation === null) return;
    if (operation.status === 'pending') return this.claim();
    const { kind, phase } = operation;
    if (phase === 'linger' && this.nowMs < this.resumesAtMs) return;
    const isGone = kind === 'save' && !this.live && phase !== 'release';
    if (outcome === 'fails' || isGone) return this.finish('failed', isGone ? 'MACHINE_GONE' : 'STORAGE_FULL');
    if (outcome === 'gives up' || operation.cancelRequested) return this.finish('cancelled');
    if (phase === 'capture' && outcome === 'succeeds' && this.fallsBack()) return;
    if (phase === 'capture') return this.risks({ type: 'switchover_reached', generation });
    if (phase === 'switchover') return this.risks({ type: 'checkpoint_durable', generation });
    if ((phase === 'commit' || phase === 'linger') && !this.lingers())
      this.risks({ type: 'release_reached', generation });
    if (machine === 'resident' && phase !== 'release') return;
    if (phase === 'place') return void this.tell({ type: 'phase_reached', generation, phase: 'wake' });
    if (machine === 'restoring') return void this.tell({ type: 'guest_ran', generation });
    return this.finish('succeeded');
  }

  /** Whether the worker is to let the desktop go without a save. It has written nothing. */
  private fallsBack(): boolean {
    const { presence, operation } = this.session;
    const { outcome } = this.tell({ type: 'fall_back_asked', generation: this.session.generation });
    if (outcome !== 'applied') return false;
    assert.equal(occupancy(presence), 'empty', 'a desktop goes back to its checkpoint that somebody may be at');
    assert(!this.touched, 'a desktop goes back to its checkpoint that somebody has used');
    assert.equal(operation?.requestedBy, policyActor, 'who asks for a save gets none');
    Object.assign(this.saving, { durable: true, letGo: true });
    this.seen.add('falls back to its checkpoint');
    return true;
  }

  /** Whether the worker is to leave the desktop in memory for a while. */
  private lingers(): boolean {
    const { outcome } = this.tell({ type: 'linger_asked', generation: this.session.generation });
    if (outcome === 'applied') this.seen.add('lingers');
    return outcome === 'applied';
  }

  private claim(): void {
    const { operation, generation, presence, machine } = this.session;
    const { outcome } = this.tell({ type: 'claimed', generation });
    if (this.session.operation === null) return;
    const { kind, forced, requestedBy } = operation!;
    if (kind === 'boot' || kind === 'restore') {
      assert(!this.live, `a second machine is started by a ${kind}`);
      this.live = true;
    }
    if (kind === 'save' || kind === 'stop') {
      const mayBegin = forced || occupancy(presence) === 'empty' || machine === 'quarantined';
      assert(outcome === 'applied' && mayBegin, `a ${kind} begins`);
    }
    if (kind === 'save' && requestedBy === policyActor && !forced) {
      const isHeld = (this.session.heldUntilMs ?? 0) > this.nowMs;
      assert(!isHeld && this.pool.policy.neverSave !== true, 'a save begins that nobody wants any more');
    }
    Object.assign(this.saving, { durable: false, letGo: false });
  }

  private finish(
    status: 'succeeded' | 'failed' | 'cancelled',
    code: 'MACHINE_GONE' | 'STORAGE_FULL' = 'STORAGE_FULL',
  ): void {
    const { operation, generation } = this.session;
    const { kind } = operation!;
    if (kind === 'save' && status === 'succeeded') {
      assert(this.saving.durable && this.saving.letGo, 'memory is freed too early');
    }
    const ends = status === 'succeeded' ? kind === 'save' || kind === 'stop' : kind === 'boot' || kind === 'restore';
    if (ends) this.live = false;
    const error = status === 'failed' ? { code, message: 'because', details: {} } : null;
    this.tell({ type: 'operation_finished', generation, status, error });
  }

  private risks(event: SessionEvent & { type: 'switchover_reached' | 'checkpoint_durable' | 'release_reached' }): void {
    const before = this.session;
    const { outcome } = this.tell(event);
    if (outcome !== 'applied') return assert.equal(this.session.operation?.cancelRequested, true);
    assert(before.operation?.forced === true || occupancy(before.presence) === 'empty');
    if (event.type === 'checkpoint_durable') this.saving.durable = true;
    if (event.type === 'release_reached') this.saving.letGo = true;
  }

  private changesNothing(event: SessionEvent): void {
    const before = this.session;
    const { outcome, effects } = this.tell(event);
    // Of a broker that was heard for the last time the same is not heard again.
    const isNothing = outcome === 'stale' || (event.type === 'broker' && outcome === 'refused');
    assert(isNothing && effects.length === 0, `a stale ${event.type} has effects`);
    assert.equal(this.session, before);
  }

  private tell(event: SessionEvent): Decision {
    const before = this.session;
    const decision = decide(before, event, this.pool, this.nowMs);
    this.session = decision.session;
    for (const effect of decision.effects) this.take(before, effect);
    this.check(before, decision);
    return decision;
  }

  private take(before: Session, effect: Effect): void {
    switch (effect.type) {
      case 'open_operation':
        this.openOperations += 1;
        if (before.operation?.kind === 'save' && effect.kind === 'save') this.seen.add('is saved once more');
        if (effect.kind === 'boot' || effect.kind === 'restore') this.loggedOff = false;
        if (before.machine === 'saved' && before.deadlineMs !== null) this.seen.add('is woken again for its user');
        if (effect.kind === 'restore') this.touched = false;
        if (effect.kind === 'boot') this.touched = true;
        if (before.machine === 'restore-blocked' && effect.kind === 'boot') this.seen.add('boots from its disk alone');
        assert(this.openOperations <= 1, 'two operations are open');
        return this.mayOpen(before, effect);
      case 'end_operation':
        this.openOperations -= 1;
        this.seen.add(`${effect.kind} ${effect.status}`);
        return;
      case 'schedule_grace':
        this.timers.set(effect.generation, effect.atMs);
        return;
      case 'unschedule_grace':
        assert(this.timers.delete(effect.generation), 'a timer is taken back that was not set');
        return;
      case 'request_cancel':
        return;
      case 'hasten_operation':
        assert.equal(this.session.operation?.status, 'pending', 'what a worker has is moved forward in the queue');
        return;
      case 'resume_operation':
        assert.equal(this.session.operation?.phase, 'linger', 'a worker is called for what another has');
        if (this.session.operation.cancelRequested) this.seen.add('is back while it lingers');
        this.resumesAtMs = effect.atMs;
        return;
      case 'remove_desktop':
        this.session = this.registered(this.session.generation);
    }
  }

  private mayOpen(before: Session, { kind, forced, requestedBy }: Effect & { type: 'open_operation' }): void {
    if (kind !== 'save' && kind !== 'stop') return;
    const { presence, heldUntilMs, absence } = this.session;
    if (forced || before.machine === 'quarantined') return;
    assert.equal(occupancy(presence), 'empty', `a ${kind} is opened`);
    if (kind === 'save') {
      assert((heldUntilMs ?? 0) <= this.nowMs + slackMs, 'a desktop is saved that is held');
      assert(this.pool.policy.neverSave !== true, 'a desktop is saved that never is');
    }
    if (requestedBy !== policyActor) return;
    assert(this.overtaken().length === 0, `a ${kind} is opened before what is missing has come`);
    assert(absence !== null);
    if (kind === 'stop') {
      assert(absence.cause === 'logoff' && this.loggedOff, 'a desktop is stopped that nobody has logged off from');
      this.seen.add('stops a desktop whose user has logged off');
      return;
    }
    if (absence.cause === 'logoff' && this.pool.policy.logoff !== undefined) return;
    const releasedMs = releasedAt(this.pool.storms, this.session);
    assert(releasedMs === null || releasedMs <= this.nowMs + slackMs, 'a storm is not waited for');
  }

  private check(before: Session, { effects }: Decision): void {
    const { session } = this;
    assert.equal(session.operation === null ? 0 : 1, this.openOperations);
    assert(session.generation >= before.generation, 'the generation went back');
    this.seen.add(session.machine);
    if (occupancy(session.presence) !== 'empty') this.touched = true;
    if (effects.some(({ type }) => type === 'remove_desktop')) return;
    const { operation, held } = machineStates[session.machine];
    if (held === 'never') assert.equal(session.operation, null);
    if (held === 'always' || session.operation !== null) assert.equal(session.operation?.kind, operation);

    const { operation: open } = session;
    const isWantedNow = open?.phase === 'linger' && (open.cancelRequested || open.forced);
    assert(!isWantedNow || this.resumesAtMs <= this.nowMs, 'nobody is called for a desktop that lingers');
    // A wake that failed is tried again for as long as somebody is, or may be, there for it.
    const isTriedAgain = session.machine === 'saved' && session.deadlineMs !== null;
    assert(!isTriedAgain || occupancy(session.presence) !== 'empty', 'a desktop is to be woken that nobody waits for');
    const hasDeadline = session.machine === 'grace' || session.machine === 'save-failed' || isTriedAgain;
    assert.equal(session.deadlineMs !== null, hasDeadline, `${session.machine} and its deadline`);
    assert.equal(this.timers.size, hasDeadline ? 1 : 0, 'timers');
    if (hasDeadline) assert.equal(this.timers.get(session.generation), session.deadlineMs, 'another timer than is due');
    const isEmpty = occupancy(session.presence) === 'empty';
    const isLeftAlone = session.machine === 'running' && session.operation === null;
    assert(!isLeftAlone || planFor(session, this.pool) === null, 'it is to be put away, and nothing will do it');
    const withUsers = session.presence.sources.filter(({ connections }) => openOf(connections).length > 0);
    if (withUsers.length > 1) this.seen.add('two brokers have users there');
    const isPutAway = machineStates[session.machine].machine === 'absent' && !isTriedAgain;
    const doubts = doubtsOf(session.presence).filter(({ kind }) => kind !== 'missing');
    assert(!isPutAway || doubts.length === 0, 'it sleeps, and it is not known who was there before');
    if (isPutAway) {
      for (const [sender, number] of this.overtaken()) {
        sender.outstanding.delete(number);
        sender.isWhole = false;
      }
    }
    assert(session.absence === null || isEmpty, 'somebody who may be there is absent');
    assert.equal(session.doubtSinceMs !== null, occupancy(session.presence) === 'unknown');
    const plan = hasDeadline ? planFor(session, this.pool) : null;
    if (plan !== null) this.seen.add(`waits for ${plan.wait}`);
  }

  private storm(): Storm {
    const about = { broker: null, cause: 'many_left', left: 50, inUse: 100 } as const;
    return { ...about, fromMs: this.nowMs - 10_000, untilMs: this.nowMs + 30_000, spreadMs: 60_000 };
  }

  private registered(generation: number): Session {
    assert.equal(this.timers.size, 0, 'a timer of a desktop that is gone');
    this.live = false;
    this.openOperations = 1;
    for (const source of sources) this.beginAnew(source);
    return newSession({ desktopId: 'd', generation, requestedBy: 'anna' }, this.nowMs);
  }
}

function broker(): Broker {
  return { epoch: 1, sequence: 0, truth: new Set(), outstanding: new Set(), highest: 0, isWhole: true };
}

/** In the epoch that is known, which the caller sees to. */
function hasCome({ last, missing, givenUp }: SequenceNumbers, { sequence }: DesktopEvent): boolean {
  if (last === null || sequence === null || sequence > last) return false;
  return ![...missing, ...givenUp].some(([from, to]) => from <= sequence && sequence <= to);
}

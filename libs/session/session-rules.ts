import { brokerActor, policyActor, type Decision, type Effect, type GoingBack, type OpenOperation } from './session';
import { planFor } from './plan';
import { runsOn, waits } from './plan-in-words';
import { calledOffBecause, earlyTimerMs, errorOf, objection, refused, stays, type Question, type Rule } from './rule';
import { applied, change, disarm, end, from, open, settled, settledAnew, triedAgain, withoutMachine } from './steps';
import { answers, type RuleName, type Signal } from './transitions';
import { machineStateNames } from './machine-states';
import { mayBePresent, occupancy } from './presence';

/** Rules for what users, operators and time do. */
export const sessionRules = {
  note: ({ session }) => stays(session, 'applied', `noted; the desktop stays ${session.machine}`),

  ignore: ({ session }) => stays(session, 'ignored', `nothing to do about it while the desktop is ${session.machine}`),

  refuse: ({ session, signal }) =>
    refused(
      session,
      'DESKTOP_BUSY',
      `the desktop is ${session.machine}; this is possible when it is ${statesThatAllow(signal).join(', ')}`,
    ),

  join: ({ session }) => stays(session, 'joined', 'what was asked for is under way already'),

  joinSave: (question) => {
    const { session, event } = question;
    const { operation } = session;
    const isForced = forces(event);
    const wantsOneMore = wantsFresh(event) && operation !== null && operation.phase !== 'queued';
    if (wantsOneMore && isForced) return joinedByOneMore(question, operation);
    if (isForced && operation?.cancelRequested === false) return joinedByForce(question, operation);
    if (occupancy(session.presence) === 'present' && operation?.forced !== true) return objected(session);
    if (wantsOneMore) return joinedByOneMore(question, operation);
    if (operation?.cancelRequested === true) {
      return refused(session, 'DESKTOP_BUSY', 'the save under way is being called off; try again when it has ended');
    }
    return stays(session, 'joined', 'a save is under way already');
  },

  bootForUser: (question) =>
    applied(
      change(open(from(question.session), { kind: 'boot', reason: reasonOf(question), requestedBy: brokerActor }), {
        machine: 'booting',
      }),
      'a user comes to a desktop that is off: it boots',
    ),

  wakeForUser: (question) =>
    applied(
      change(open(from(question.session), { kind: 'restore', reason: reasonOf(question), requestedBy: brokerActor }), {
        machine: 'restoring',
      }),
      'a user comes to a sleeping desktop: it wakes',
    ),

  hasten: ({ session }) => {
    const { operation } = session;
    if (operation === null || operation.awaited) return stays(session, 'applied', 'the desktop is on its way already');
    const { generation } = session;
    const effects = operation.status === 'pending' ? [{ type: 'hasten_operation', generation } as const] : [];
    const awaited = change(from(session), { operation: { ...operation, awaited: true } }, ...effects);
    return applied(awaited, `a user waits for the ${operation.kind} now: it goes before those that nobody waits for`);
  },

  settle: (question) => {
    const { session, pool, nowMs } = question;
    const { operation } = session;
    if (operation === null) {
      const step = settled(from(session), pool, nowMs);
      return applied(step, step.session.machine === 'grace' ? waits(question) : runsOn(question));
    }
    const plan = planFor(session, pool);
    const isDue = plan?.action === 'stop' && plan.atMs <= nowMs + earlyTimerMs;
    const isOurs = operation.requestedBy === policyActor && operation.status === 'pending' && !operation.forced;
    if (!isOurs || isDue) return stays(session, 'applied', `noted; the ${operation.kind} goes on`);
    return withdrawn(question, `the ${operation.kind} had not begun and is called off`);
  },

  stayForUser: (question) => {
    const { session, pool, nowMs } = question;
    if (session.operation === null) {
      // With this event it may have become certain that nobody is there: who is announced is waited for like anybody.
      const step = settled(from(session), pool, nowMs);
      return applied(step, step.session.machine === 'grace' ? waits(question) : 'a user comes to a running desktop');
    }
    if (session.operation.status === 'active') {
      const unforced = change(from(session), { operation: { ...session.operation, forced: false } });
      return applied(unforced, 'the desktop is being stopped; it boots again once it is off');
    }
    const ended = end(from(session), 'cancelled', calledOffBecause('a user has come'));
    return applied(settledAnew(ended, pool, nowMs), 'a user has come: the stop is called off');
  },

  withdrawSave: (question) => {
    const { session, pool, nowMs } = question;
    const ended = end(from(session), 'cancelled', calledOffBecause(whyCalledOff(question)));
    return applied(settledAnew(ended, pool, nowMs), 'the save had not begun and is called off');
  },

  doubtSave: (question) => {
    const { session } = question;
    if (session.operation?.forced === true) return stays(session, 'applied', 'the save is forced and goes on');
    return withdrawn(question, 'the save had not begun and is called off');
  },

  doubtStop: (question) => {
    const { session, pool, nowMs } = question;
    const { operation } = session;
    if (operation === null) return applied(settled(from(session), pool, nowMs), runsOn(question));
    if (operation.forced || operation.status === 'active') return stays(session, 'applied', 'noted; the stop goes on');
    return withdrawn(question, 'the stop had not begun and is called off');
  },

  reconsiderSave: (question) => {
    const { session, pool, nowMs } = question;
    const { operation, heldUntilMs } = session;
    const plan = planFor(session, pool);
    const isDue = plan?.action === 'save' && plan.atMs <= nowMs + earlyTimerMs;
    const wanted = operation?.requestedBy === policyActor ? isDue : (heldUntilMs ?? 0) <= nowMs;
    if (operation?.forced === true || wanted) return stays(session, 'applied', 'noted; the save stays queued');
    // What a logoff leads to takes its place; otherwise nothing does.
    const status = question.signal === 'loggedOff' ? 'superseded' : 'cancelled';
    return withdrawn(question, 'the save had not begun and is called off', status);
  },

  reconsiderRetry: (question) => {
    const { session, pool, nowMs } = question;
    if (planFor(session, pool) === null) return applied(settled(from(session), pool, nowMs), runsOn(question));
    const { machineSinceMs } = session;
    return applied(triedAgain(from(session), machineSinceMs), 'noted; the save is tried again when its pause is over');
  },

  callOff: (question) => {
    const { session } = question;
    const { operation } = session;
    if (operation?.cancelRequested === true) return stays(session, 'joined', 'the save is being called off already');
    return operation?.phase === 'release'
      ? refused(
          session,
          'DESKTOP_BUSY',
          'the machine is being let go: it is too late to call the save off; wake it after',
        )
      : askedToCancel(question);
  },

  withdraw: (question) => {
    const { session, pool, nowMs } = question;
    const { operation } = session;
    if (operation === null) return stays(session, 'ignored', 'nothing is under way');
    if (operation.status === 'active') {
      return refused(session, 'DESKTOP_BUSY', `a ${operation.kind} cannot be called off any more once it has begun`);
    }
    const isForUser = operation.kind === 'boot' || operation.kind === 'restore';
    if (isForUser && mayBePresent(session.presence)) {
      return refused(session, 'USER_PRESENT', `a user waits for the ${operation.kind}`);
    }
    const ended = end(from(session), 'cancelled', calledOffBecause(whyCalledOff(question)));
    const explanation = `the ${operation.kind} had not begun and is called off`;
    switch (operation.kind) {
      case 'boot':
        return applied(change(ended, { machine: operation.goingBack?.from ?? 'off' }), explanation);
      case 'restore':
        return applied(change(ended, { machine: operation.goingBack?.from ?? 'saved' }), explanation);
      default:
        return applied(session.machine === 'quarantined' ? ended : settledAnew(ended, pool, nowMs), explanation);
    }
  },

  askToCancel: (question) => {
    const { session } = question;
    if (session.operation === null) return stays(session, 'applied', 'noted');
    const operation = unforced(session.operation);
    const minded = change(from(session), { operation });
    if (operation.cancelRequested) return applied(minded, 'the save is being called off');
    return operation.phase === 'release'
      ? applied(minded, 'the machine is being let go; the desktop wakes again as soon as that is over')
      : askedToCancel({ ...question, session: minded.session });
  },

  deadlineReached: (question) => {
    const { session, pool, nowMs } = question;
    if (session.deadlineMs !== null && nowMs < session.deadlineMs - earlyTimerMs) {
      return stays(session, 'ignored', 'the timer fired before its deadline');
    }
    // The timer has fired and is no longer in any queue: there is nothing to take back.
    const elapsed = change(from(session), { deadlineMs: null });
    const plan = planFor(session, pool);
    if (plan === null) return applied(settled(elapsed, pool, nowMs), runsOn(question));
    if (plan.atMs > nowMs + earlyTimerMs) return applied(settled(elapsed, pool, nowMs), waits(question));
    const isRetry = session.machine === 'save-failed';
    const reason = isRetry ? 'the last save failed' : reasons[session.absence?.cause === 'logoff' ? 'logoff' : 'wait'];
    const opened = open(elapsed, { kind: plan.action, reason, requestedBy: policyActor });
    return plan.action === 'save'
      ? applied(change(opened, { machine: 'queued' }), `${reason} and nobody is there: the desktop is to be saved`)
      : applied(change(opened, { machine: 'running' }), `${reason}: the desktop is to be stopped`);
  },

  wakeAgain: (question) => {
    const { session, nowMs } = question;
    if (session.deadlineMs !== null && nowMs < session.deadlineMs - earlyTimerMs) {
      return stays(session, 'ignored', 'the timer fired before its deadline');
    }
    const elapsed = change(from(session), { deadlineMs: null });
    if (!mayBePresent(session.presence)) return applied(elapsed, 'nobody is there any more: the desktop sleeps on');
    const restore = { kind: 'restore', reason: 'the last wake failed', requestedBy: brokerActor } as const;
    return applied(
      change(open(elapsed, restore), { machine: 'restoring' }),
      'its user is still there: it is woken again',
    );
  },

  sleepOn: ({ session }) =>
    mayBePresent(session.presence)
      ? stays(session, 'applied', `noted; the desktop stays ${session.machine}`)
      : applied(disarm(from(session)), 'nobody is there any more: the desktop sleeps on'),

  openRegister: (question) => requested(question, 'registering', 'the new launch spec is to be examined'),
  openBoot: (question) => requested(question, 'booting', 'the desktop boots'),

  openColdBoot: (question) => {
    const { session, event } = question;
    if (event.type === 'request' && event.fromDiskAlone === true) {
      const goingBack = { checkpointId: null, from: session.machine };
      return requested(
        question,
        'booting',
        'the desktop boots from its disk, without what was in its memory',
        goingBack,
      );
    }
    return refused(
      session,
      'CONSENT_NEEDED',
      'the desktop has a checkpoint that cannot be woken: to boot it loses what is only in there; `explain` says what can be consented to',
    );
  },

  openSave: (question) => {
    const { session } = question;
    if (session.operation !== null) return busyWith(session.operation.kind, session);
    if (forces(question.event)) return requested(question, 'queued', 'the desktop is to be saved');
    if (objection(session) !== null) return objected(session);
    return forbidden(question) ?? requested(question, 'queued', 'the desktop is to be saved');
  },

  openRestore: (question) => {
    const { session } = question;
    const checkpointId = namedAnother(question.event);
    if (checkpointId !== null) {
      const goingBack = { checkpointId, from: session.machine };
      return requested(question, 'restoring', 'the desktop goes back to the checkpoint that was named', goingBack);
    }
    if (session.checkpointed) return requested(question, 'restoring', 'the desktop wakes');
    return refused(session, 'CHECKPOINT_UNKNOWN', 'the desktop has no checkpoint to wake from');
  },

  joinRestore: ({ session, event }) => {
    const named = event.type === 'request' && event.checkpoint !== undefined;
    if (named && namedAnother(event) !== (session.operation?.goingBack?.checkpointId ?? null)) {
      return refused(session, 'DESKTOP_BUSY', 'another checkpoint is being woken; try again when that has ended');
    }
    return stays(session, 'joined', 'what was asked for is under way already');
  },

  openStop: (question) => {
    const { session } = question;
    if (session.operation !== null) {
      if (forces(question.event)) return joinedByForce(question, session.operation);
      return stays(session, 'joined', 'the desktop is being stopped already');
    }
    if (session.machine === 'quarantined') return requested(question, 'quarantined', 'what is left of it is stopped');
    return forces(question.event) || objection(session) === null
      ? requested(question, 'running', 'the desktop is to be stopped')
      : objected(session);
  },

  awaitStop: ({ session }) => {
    const { operation } = session;
    if (operation === null) return stays(session, 'applied', `noted; the desktop stays ${session.machine}`);
    const minded = change(from(session), { operation: { ...operation, forced: false } });
    return applied(minded, 'what is left of the desktop is being stopped; if it can be woken, it is woken after that');
  },

  stopByForce: (question) => {
    const { session, event } = question;
    const { operation } = session;
    if (event.type !== 'request' || operation === null) return stays(session, 'ignored', 'nobody asked');
    if (event.force !== true) {
      const message = `a ${operation.kind} is under way; try again when it has ended, or force the stop, which ends it`;
      return refused(session, 'DESKTOP_BUSY', message);
    }
    const why = `${event.requestedBy} has stopped the desktop by force: ${event.reason}`;
    const ended = end(from(session), 'cancelled', calledOffBecause(why));
    const { machine, backTo } = overtakenByStop[session.machine] ?? { machine: 'running', backTo: null };
    const goingBack = backTo && { checkpointId: null, from: operation.goingBack?.from ?? backTo };
    return applied(
      change(open(ended, { ...event, forced: true, goingBack }), { machine }),
      `the ${operation.kind} is ended, and the machine with it, whatever either waits for`,
    );
  },

  crashed: ({ session }) => {
    if (session.operation !== null) return stays(session, 'ignored', 'the worker of its operation will tell');
    return applied(
      change(disarm(from(session)), {
        machine: 'off',
        lastError: {
          code: 'MACHINE_GONE',
          message: 'the machine is no longer there and was not stopped by us; the desktop boots when its user returns',
          details: {},
        },
      }),
      'the machine has gone by itself: the desktop is off',
    );
  },

  shutDown: ({ session }) => {
    if (session.operation !== null) return stays(session, 'ignored', 'the worker of its operation will tell');
    return applied(
      change(disarm(from(session)), { machine: 'off', lastError: null }),
      'the guest has shut down: the desktop is off',
    );
  },

  ownershipUnclear: ({ session }) =>
    applied(
      change(disarm(from(session)), {
        machine: 'quarantined',
        lastError: {
          code: 'INTERNAL',
          message: `a machine runs for a desktop that is ${session.machine}; stop the desktop to clear this`,
          details: {},
        },
      }),
      'a machine runs where none should be: nothing is done until this is cleared',
    ),

  vanished: ({ session }) => {
    if (session.operation !== null) return stays(session, 'ignored', 'the worker of its operation will tell');
    return applied(withoutMachine(from(session)), 'no machine is left: the doubt is over');
  },

  outOfPlace: ({ session, signal, event }) =>
    refused(
      session,
      'INTERNAL',
      `a worker reports ${signal} of an operation that is ${session.machine}` +
        (errorOf(event) === null ? '' : ` (${errorOf(event)?.message})`),
    ),
} satisfies Partial<Record<RuleName, Rule>>;

/**
 * A stop that overtakes an operation: the state in which the machine is ended, and where the desktop is then when its memory is still
 * in a checkpoint. Left out: it runs, and is off then. Of a guest that its user has, and whose memory was not whole, nobody knows what
 * is lost: an operator decides.
 */
const overtakenByStop: Partial<
  Record<Question['session']['machine'], { machine: 'quarantined'; backTo: 'saved' | null }>
> = {
  resident: { machine: 'quarantined', backTo: 'saved' },
  restoring: { machine: 'quarantined', backTo: 'saved' },
  hydrating: { machine: 'quarantined', backTo: null },
};

const reasons = { wait: 'the grace is over', logoff: 'the user has logged off' } as const;

/** Ends what no worker has taken, and lets the desktop be what it should be. */
function withdrawn(
  question: Question,
  explanation: string,
  status: 'cancelled' | 'superseded' = 'cancelled',
): Decision {
  const { session, pool, nowMs } = question;
  const ended = end(from(session), status, calledOffBecause(whyCalledOff(question)));
  return applied(settled(ended, pool, nowMs), explanation);
}

function askedToCancel(question: Question): Decision {
  const { session } = question;
  if (session.operation === null) return stays(session, 'ignored', 'nothing is under way');
  const because = calledOffBecause(whyCalledOff(question));
  return applied(
    change(
      from(session),
      { operation: { ...session.operation, cancelRequested: true, forced: false } },
      { type: 'request_cancel', generation: session.generation, because },
      ...takenUpNow(question),
    ),
    `${because.message}: the worker is asked to call the save off`,
  );
}

/** Somebody new has come: whoever wanted the desktop away in spite of who was there did not mean them. */
function unforced(operation: OpenOperation): OpenOperation {
  const { again } = operation;
  return { ...operation, forced: false, again: again === null ? null : { ...again, forced: false } };
}

/** While a saved desktop lingers no worker is at it: one has to be called. */
function takenUpNow({ session, nowMs }: Question): Effect[] {
  if (session.operation?.phase !== 'linger') return [];
  return [{ type: 'resume_operation', generation: session.generation, atMs: nowMs }];
}

function whyCalledOff({ event, signal }: Question): string {
  if (event.type === 'cancel_asked') return `${event.requestedBy} has called it off: ${event.reason}`;
  switch (signal) {
    case 'arrived':
      return 'a user has come';
    case 'unsure':
      return 'it is not certain any more that nobody is there';
    case 'loggedOff':
      return 'the user has logged off, which leads to something else';
    default:
      return 'the desktop is to run on for now: its pool, a storm or a hold says so';
  }
}

function requested(
  question: Question,
  machine: Question['session']['machine'],
  explanation: string,
  goingBack: GoingBack | null = null,
): Decision {
  const { session, event } = question;
  if (event.type !== 'request') return stays(session, 'ignored', 'nobody asked');
  return applied(change(open(from(session), { ...event, forced: forces(event), goingBack }), { machine }), explanation);
}

/** The checkpoint that is to be gone back to; null when it is the desktop's own, which is also meant when none is named. */
function namedAnother(event: Question['event']): string | null {
  if (event.type !== 'request' || event.checkpoint === undefined || event.checkpoint.current) return null;
  return event.checkpoint.id;
}

/** The open operation is forced from now on. */
function joinedByForce(question: Question, operation: OpenOperation): Decision {
  const forced = change(from(question.session), { operation: { ...operation, forced: true } }, ...takenUpNow(question));
  return { ...applied(forced, `the ${operation.kind} under way no longer minds who is there`), outcome: 'joined' };
}

/**
 * Of a save that waits, the capture is still to come. One that has begun and succeeds holds all there is as well, since the
 * guest then sleeps; but it may be called off, and then this one follows. However many ask, one follows.
 */
function joinedByOneMore({ session, event }: Question, operation: OpenOperation): Decision {
  if (event.type !== 'request') return stays(session, 'ignored', 'nobody asked');
  const { requestedBy, reason, force = false } = event;
  const again = operation.again ?? { requestedBy, reason, forced: force };
  const joined = change(from(session), { operation: { ...operation, again } });
  return {
    ...applied(joined, 'a save is under way; one more follows unless it puts the desktop to sleep'),
    outcome: 'joined',
  };
}

function wantsFresh(event: Question['event']): boolean {
  return event.type === 'request' && event.fresh === true;
}

/** An admin puts the desktop away although somebody may be there. */
function forces(event: Question['event']): boolean {
  return event.type === 'request' && event.force === true;
}

function objected(session: Question['session']): Decision {
  const why = objection(session);
  return why === null ? stays(session, 'ignored', 'nobody is there') : refused(session, why.code, why.message);
}

function busyWith(kind: string, session: Question['session']): Decision {
  return refused(session, 'DESKTOP_BUSY', `a ${kind} is under way; try again when it has ended`);
}

function statesThatAllow(signal: Signal): readonly string[] {
  return machineStateNames.filter((state) => answers[state][signal] !== 'refuse');
}

function reasonOf({ event }: Question): string {
  return event.type === 'broker' ? event.event.type : event.type;
}

/** What speaks against a save that nobody forces, though nobody is there. */
function forbidden({ session, pool, nowMs }: Question): Decision | null {
  if (pool.policy.neverSave === true) {
    return refused(
      session,
      'POLICY_FORBIDS',
      'the pool of this desktop puts nothing to sleep; a save has to be forced',
    );
  }
  if (session.heldUntilMs === null || session.heldUntilMs <= nowMs) return null;
  const until = new Date(session.heldUntilMs).toISOString();
  return refused(session, 'DESKTOP_HELD', `the desktop is held until ${until}; end the hold, or force the save`);
}

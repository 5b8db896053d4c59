import { brokerActor, policyActor, type Decision, type GoingBack, type OpenOperation, type Session } from './session';
import { errorOf, objection, refused, stays, type Question, type Rule } from './rule';
import { applied, change, disarm, end, from, open, settled, withoutMachine } from './steps';
import { answers, type RuleName, type Signal } from './transitions';
import { machineStateNames } from './machine-states';
import { occupancy } from './presence';

/** Timers fire a little early when two clocks differ; later than this before the deadline counts as reached. */
const earlyTimerMs = 100;

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

  joinSave: ({ session, event }) => {
    const { operation } = session;
    if (forces(event) && operation?.cancelRequested === false) return joinedByForce(session, operation);
    if (occupancy(session.presence) === 'present' && operation?.forced !== true) return objected(session);
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

  settle: ({ session, policy, nowMs }) => {
    if (session.operation !== null) return stays(session, 'applied', `noted; the ${session.operation.kind} goes on`);
    const step = settled(from(session), policy, nowMs);
    return applied(step, step.session.machine === 'grace' ? graceBegins(policy.graceMs) : staysUp(step.session));
  },

  stayForUser: (question) => {
    const { session, policy, nowMs } = question;
    if (session.operation === null) {
      // A user who is announced while the desktop runs anyway changes nothing; least of all does it start a grace.
      return stays(session, 'applied', 'a user comes to a running desktop');
    }
    if (session.operation.status === 'active') {
      const unforced = change(from(session), { operation: { ...session.operation, forced: false } });
      return applied(unforced, 'the desktop is being stopped; it boots again once it is off');
    }
    return applied(settled(end(from(session), 'cancelled'), policy, nowMs), 'a user has come: the stop is called off');
  },

  withdrawSave,

  doubtSave: (question) => {
    const { session } = question;
    if (session.operation?.forced === true) return stays(session, 'applied', 'the save is forced and goes on');
    return withdrawSave(question);
  },

  askToCancel: ({ session }) => {
    const { operation } = session;
    if (operation === null || operation.cancelRequested)
      return stays(session, 'applied', 'the save is being called off');
    if (operation.phase === 'release') {
      const unforced = change(from(session), { operation: { ...operation, forced: false } });
      return applied(unforced, 'the machine is being let go; the desktop wakes again as soon as that is over');
    }
    return applied(
      change(
        from(session),
        { operation: { ...operation, cancelRequested: true, forced: false } },
        { type: 'request_cancel', generation: session.generation },
      ),
      'a user has come: the worker is asked to call the save off',
    );
  },

  deadlineReached: ({ session, nowMs }) => {
    if (session.deadlineMs !== null && nowMs < session.deadlineMs - earlyTimerMs) {
      return stays(session, 'ignored', 'the timer fired before its deadline');
    }
    // The timer has fired and is no longer in any queue: there is nothing to take back.
    const elapsed = change(from(session), { deadlineMs: null });
    if (objection(session) !== null) return applied(change(elapsed, { machine: 'running' }), 'somebody may be there');
    const reason = session.machine === 'grace' ? 'the grace is over' : 'the last save failed';
    return applied(
      change(open(elapsed, { kind: 'save', reason, requestedBy: policyActor }), { machine: 'queued' }),
      `${reason} and nobody is there: the desktop is to be saved`,
    );
  },

  openRegister: (question) => requested(question, 'registering', 'the new launch spec is to be examined'),
  openBoot: (question) => requested(question, 'booting', 'the desktop boots'),

  openSave: (question) => {
    const { session } = question;
    if (session.operation !== null) return busyWith(session.operation.kind, session);
    return forces(question.event) || objection(session) === null
      ? requested(question, 'queued', 'the desktop is to be saved')
      : objected(session);
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
      if (forces(question.event)) return joinedByForce(session, session.operation);
      return stays(session, 'joined', 'the desktop is being stopped already');
    }
    if (session.machine === 'quarantined') return requested(question, 'quarantined', 'what is left of it is stopped');
    return forces(question.event) || objection(session) === null
      ? requested(question, 'running', 'the desktop is to be stopped')
      : objected(session);
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

  ownershipUnclear: ({ session }) =>
    applied(
      change(from(session), {
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

function withdrawSave({ session, policy, nowMs }: Question): Decision {
  return applied(settled(end(from(session), 'cancelled'), policy, nowMs), 'the save had not begun and is called off');
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
function joinedByForce(session: Session, operation: OpenOperation): Decision {
  const forced = change(from(session), { operation: { ...operation, forced: true } });
  return { ...applied(forced, `the ${operation.kind} under way no longer minds who is there`), outcome: 'joined' };
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

function graceBegins(graceMs: number): string {
  return `nobody is there: the desktop is saved in ${graceMs / 1_000} s unless somebody comes`;
}

function staysUp(session: Question['session']): string {
  return occupancy(session.presence) === 'present'
    ? 'a user is there: the desktop runs'
    : 'it is not certain who is there: the desktop runs, and no save begins';
}

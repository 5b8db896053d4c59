import type { MachineState } from './machine-states';
import { firstPhase, type OperationPhase } from './operations';
import { calledOffBecause, earlyTimerMs, errorOf, objection, refused, stays, type Question, type Rule } from './rule';
import { mayFallBack } from './fall-back';
import { mayBePresent } from './presence';
import { hopelessRestores, mostRestoreFailures, passingRestores } from './ladder';
import { brokerActor, policyActor, type Decision, type OpenOperation, type Session } from './session';
import {
  applied,
  asleepAgain,
  bootIfPresent,
  change,
  end,
  from,
  open,
  savedAgain,
  settled,
  settledAnew,
  unsaved,
  withoutMachine,
  type Step,
} from './steps';
import type { RuleName } from './transitions';
import type { sessionRules } from './session-rules';

/** The phases a worker enters by itself; back to `capture` when it begins a save anew. */
const openPhases: Partial<Record<MachineState, readonly OperationPhase[]>> = {
  booting: ['answer'],
  committing: ['commit', 'capture'],
  restoring: ['place', 'wake'],
};

/** Rules for what the worker of the open operation reports. */
export const operationRules = {
  take: ({ session }) => applied(inOperation(session, { status: 'active' }), 'a worker has taken the operation'),

  startSave: ({ session, pool, nowMs }) => {
    if (objection(session) !== null) {
      const ended = end(from(session), 'cancelled', calledOffBecause('somebody is there, or may be'));
      return applied(settled(ended, pool, nowMs), 'somebody may be there: no save begins');
    }
    const step = inOperation(session, { status: 'active', phase: 'capture' });
    return applied(change(step, { machine: 'saving' }), 'the capture begins; the guest runs on');
  },

  enterPhase: ({ session, event }) => {
    const { operation, machine } = session;
    if (operation === null || event.type !== 'phase_reached') return stays(session, 'ignored', 'no phase to enter');
    if (operation.cancelRequested) return calledOff(session);
    if (event.phase === operation.phase) return stays(session, 'applied', `the phase is ${event.phase} already`);
    if (!openPhases[machine]?.includes(event.phase)) {
      return refused(session, 'INTERNAL', `a ${operation.kind} that is ${machine} cannot enter ${event.phase}`);
    }
    const step = inOperation(session, { phase: event.phase });
    return applied(
      event.phase === 'capture' ? change(step, { machine: 'saving' }) : step,
      `the phase is ${event.phase}`,
    );
  },

  fallBack: (question) =>
    unlessCalledOff(question, (session) =>
      mayFallBack(session, question.pool)
        ? applied(
            change(inOperation(session, { phase: 'release' }), { machine: 'resident' }),
            'nobody has used the desktop since it was woken, and it has written nothing: it goes back to its checkpoint',
          )
        : stays(session, 'ignored', 'the desktop is to be saved'),
    ),

  freeze: (question) =>
    unlessCalledOff(question, (session) =>
      session.machine === 'committing'
        ? stays(session, 'applied', 'the switchover was authorized before')
        : applied(
            change(inOperation(session, { phase: 'switchover' }), { machine: 'committing' }),
            'nobody is there: the guest may be frozen',
          ),
    ),

  holdDurable: (question) =>
    unlessCalledOff(question, (session) =>
      session.machine === 'resident'
        ? stays(session, 'applied', 'the checkpoint was committed before')
        : applied(
            change(inOperation(session, { phase: 'commit' }), { machine: 'resident', checkpointed: true }),
            'the checkpoint is durable and nobody is there',
          ),
    ),

  lingerOrNot: (question) => {
    const { pool, nowMs } = question;
    return unlessCalledOff(question, (session) => {
      const { operation, machineSinceMs, generation } = session;
      const untilMs = machineSinceMs + (pool.policy.lingerMs ?? 0);
      const byItself = operation?.requestedBy === policyActor && !operation.forced;
      if (operation?.phase === 'release' || !byItself || untilMs <= nowMs + earlyTimerMs) {
        return stays(session, 'ignored', 'the machine need not be kept');
      }
      const resume = { type: 'resume_operation', generation, atMs: untilMs } as const;
      const step = change(inOperation(session, { phase: 'linger' }), {}, resume);
      return applied(step, 'the desktop is saved and stays in memory for a while, in case its user returns');
    });
  },

  letGo: (question) => {
    if (question.session.operation?.phase === 'release') {
      return stays(question.session, 'applied', 'the machine is being let go already');
    }
    return unlessCalledOff(question, (session) =>
      applied(
        inOperation(session, { phase: 'release' }),
        'the machine may be let go; from here only a restore leads back',
      ),
    );
  },

  moveOn: ({ session }) => {
    const step = inOperation(session, { status: 'pending', phase: firstPhase('restore') });
    return applied(step, 'it cannot be woken on this host, and goes to another');
  },

  guestAwake: ({ session }) => {
    if (session.machine === 'hydrating') return stays(session, 'applied', 'the guest runs already');
    return applied(
      change(inOperation(session, { phase: 'hydrate' }), { machine: 'hydrating', restoreFailures: 0, wakesInVain: 0 }),
      'the guest runs; its memory follows',
    );
  },

  examined: ({ session }) => {
    const accepted = change(end(from(session), 'succeeded'), { machine: 'off', accepted: true, lastError: null });
    return applied(bootIfPresent(accepted), 'the launch spec is good');
  },

  rejected: ({ session, event }) => {
    const ended = end(from(session), finishedAs(event), errorOf(event));
    if (session.accepted)
      return applied(change(ended, { machine: 'off', lastError: errorOf(event) }), 'the old spec stays');
    return applied(change(ended, {}, { type: 'remove_desktop' }), 'the launch spec is not accepted');
  },

  booted: ({ session, pool, nowMs }) => {
    const { operation } = session;
    // What was given up with its memory is no checkpoint of the desktop as it is now.
    const checkpointed = session.checkpointed && operation?.goingBack === null;
    const ended = change(end(from(session), 'succeeded'), { machine: 'running', checkpointed, lastError: null });
    // Whoever starts a desktop by hand means it to be there when its user comes; only a user can have left it.
    const forUser = operation?.awaited === true || operation?.requestedBy === policyActor;
    return applied((forUser ? settledAnew : settled)(ended, pool, nowMs), 'the guest runs');
  },

  bootFailed: ({ session, event }) =>
    applied(
      change(end(from(session), finishedAs(event), errorOf(event)), {
        machine: session.operation?.goingBack?.from ?? 'off',
        lastError: errorOf(event),
      }),
      'the desktop did not boot',
    ),

  asleep: ({ session }) => {
    if (session.operation?.phase !== 'release') {
      return refused(session, 'INTERNAL', 'a save cannot succeed before its release was decided');
    }
    const saved = change(end(from(session), 'succeeded'), { machine: 'saved', saveFailures: 0, lastError: null });
    if (!somebodyWaits(session)) return applied(saved, 'the desktop sleeps; its memory is given back');
    const restore = { kind: 'restore', reason: 'a user came during the release', requestedBy: brokerActor } as const;
    return applied(change(open(saved, restore), { machine: 'restoring' }), 'a user came during the release: it wakes');
  },

  stayAwake,

  saveFailed,

  releaseFailed: (question) => {
    const { session, event } = question;
    if (session.operation?.phase !== 'release') {
      return finishedAs(event) === 'failed' ? saveFailed(question) : stayAwake(question);
    }
    return applied(
      change(end(from(session), finishedAs(event), errorOf(event)), {
        machine: 'quarantined',
        lastError: errorOf(event),
      }),
      'it is not certain that the machine is gone: nothing is done until this is cleared',
    );
  },

  awake: ({ session, pool, nowMs }) => {
    const ended = change(end(from(session), 'succeeded'), {
      restoreFailures: 0,
      wakesInVain: 0,
      lastError: null,
      wokeAtMs: nowMs,
    });
    return applied(settledAnew(ended, pool, nowMs), 'the desktop is whole again');
  },

  restoreFailed: (question) => {
    const { session, event, nowMs } = question;
    const error = errorOf(event);
    if (error?.code === 'GUEST_SHUT_DOWN') return guestShutDown(question);
    if (error?.code === 'WAKE_INTERRUPTED') return memoryLost(question);
    const goingBack = session.operation?.goingBack;
    const ended = change(end(from(session), finishedAs(event), error), { lastError: error });
    if (goingBack) {
      // Of another checkpoint: that says nothing about the desktop's own.
      const back = goingBack.from === 'saved' ? asleepAgain(ended, nowMs) : change(ended, { machine: goingBack.from });
      return applied(back, 'the checkpoint that was named did not wake; the desktop is where it was before');
    }
    const counts = finishedAs(event) === 'failed' && !(error !== null && passingRestores.includes(error.code));
    const restoreFailures = session.restoreFailures + (counts ? 1 : 0);
    const hopeless =
      restoreFailures >= mostRestoreFailures || (error !== null && hopelessRestores.includes(error.code));
    const counted = change(ended, { restoreFailures });
    if (hopeless) {
      return applied(
        change(counted, { machine: 'restore-blocked' }),
        'the wake failed for good: an operator must decide',
      );
    }
    const asleep = asleepAgain(counted, nowMs);
    const { deadlineMs } = asleep.session;
    return applied(
      asleep,
      deadlineMs === null
        ? 'the wake failed; the next connect tries again'
        : `the wake failed; its user is there, so it is tried again in ${Math.ceil((deadlineMs - nowMs) / 1_000)} s`,
    );
  },

  memoryLost,

  stopped: ({ session }) => {
    const ended = change(end(from(session), 'succeeded'), { lastError: null, saveFailures: 0 });
    const off = change(ended, { machine: 'off' });
    const back = session.operation?.goingBack?.from;
    if (back !== undefined) {
      const asleep = change(ended, { machine: back });
      if (back !== 'saved' || !somebodyWaits(session))
        return applied(asleep, `the machine is gone, the desktop ${back}`);
      const restore = { kind: 'restore', reason: 'a user came during the stop', requestedBy: brokerActor } as const;
      return applied(change(open(asleep, restore), { machine: 'restoring' }), 'a user came during the stop: it wakes');
    }
    if (!somebodyWaits(session) && session.machine !== 'quarantined') return applied(off, 'the machine is stopped');
    const stopped = session.machine === 'quarantined' ? withoutMachine(ended) : bootIfPresent(off);
    return applied(stopped, 'the machine is stopped');
  },

  stopFailed: ({ session, event, pool, nowMs }) => {
    const ended = change(end(from(session), finishedAs(event), errorOf(event)), { lastError: errorOf(event) });
    if (errorOf(event)?.code === 'MACHINE_GONE')
      return applied(change(ended, { machine: 'off' }), 'the desktop is off');
    return applied(settledAnew(ended, pool, nowMs), 'the desktop could not be stopped and runs on');
  },

  stillUnclear: ({ session, event }) =>
    applied(
      change(end(from(session), finishedAs(event), errorOf(event)), { lastError: errorOf(event) }),
      'it could not be stopped: the doubt remains',
    ),
} satisfies Record<Exclude<RuleName, keyof typeof sessionRules>, Rule>;

/** Whatever was under way: what its guest has written is on its disk, and there is nothing left to be saved or woken. */
function guestShutDown({ session, event }: Question): Decision {
  const ended =
    session.operation?.kind === 'restore'
      ? end(from(session), 'succeeded')
      : end(from(session), 'cancelled', errorOf(event));
  return applied(change(ended, { machine: 'off', lastError: null }), 'the guest has shut down: the desktop is off');
}

function memoryLost(question: Question): Decision {
  const { session, event } = question;
  const error = errorOf(event);
  if (error?.code === 'GUEST_SHUT_DOWN') return guestShutDown(question);
  return applied(
    change(end(from(session), finishedAs(event), error), { machine: 'restore-blocked', lastError: error }),
    'the guest was lost before its memory was whole; going back to the checkpoint loses work, so an operator must decide',
  );
}

function stayAwake({ session, pool, nowMs }: Question): Decision {
  const ended = end(from(session), 'cancelled');
  const again = savedAgain(ended, session.operation?.again, pool, nowMs);
  if (again !== null) return applied(again, 'the save is called off, and another was asked for');
  return applied(settledAnew(ended, pool, nowMs), 'the save is called off; the guest runs on');
}

function saveFailed(question: Question): Decision {
  const { session, event, pool, nowMs } = question;
  const error = errorOf(event);
  if (error?.code === 'GUEST_SHUT_DOWN') return guestShutDown(question);
  const ended = change(end(from(session), 'failed', error), { lastError: error });
  if (error?.code === 'MACHINE_GONE')
    return applied(change(ended, { machine: 'off' }), 'the machine died: the desktop is off');
  const again = savedAgain(ended, session.operation?.again, pool, nowMs);
  if (again !== null) return applied(again, 'the save failed, and another was asked for');
  return applied(unsaved(ended, nowMs), 'the save failed; the guest runs on');
}

/** Whoever was there when it was forced is not waited for; somebody new would have ended the force. */
function somebodyWaits(session: Session): boolean {
  return session.operation?.forced !== true && mayBePresent(session.presence);
}

function inOperation(session: Session, changes: Partial<OpenOperation>): Step {
  if (session.operation === null) return from(session);
  return change(from(session), { operation: { ...session.operation, ...changes } });
}

/** Presence is read again before every step that cannot be taken back. */
function unlessCalledOff(question: Question, goOn: (session: Session) => Decision): Decision {
  const { session } = question;
  return session.operation?.cancelRequested === true || objection(session) !== null
    ? calledOff(session)
    : goOn(session);
}

/** Refuses, and leaves a mark, so that the worker hears the same answer whatever it asks next. */
function calledOff(session: Session): Decision {
  const message = 'a user has come, or may have: this save is to be given up';
  const marked = inOperation(session, { cancelRequested: true }).session;
  const isNew = session.operation?.cancelRequested === false;
  return {
    ...refused(marked, 'CANCELLED', message),
    effects: isNew
      ? [
          {
            type: 'request_cancel',
            generation: session.generation,
            because: calledOffBecause('a user has come, or may have'),
          },
        ]
      : [],
  };
}

function finishedAs(event: Question['event']): 'succeeded' | 'failed' | 'cancelled' {
  return event.type === 'operation_finished' ? event.status : 'failed';
}

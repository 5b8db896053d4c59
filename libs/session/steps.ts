import { firstPhase, type EndedStatus, type OperationKind } from './operations';
import { planFor, type Pool } from './plan';
import {
  brokerActor,
  type Again,
  type Decision,
  type Effect,
  type GoingBack,
  type RecordedError,
  type Session,
} from './session';
import { mayBePresent, occupancy, withMachineAnew } from './presence';

/** A session on its way to the next one, with the effects gathered so far. The rules are made of these steps. */
export interface Step {
  readonly session: Session;
  readonly effects: readonly Effect[];
}

/** A failed save is tried again after this long times the failures in a row, at most after `mostMs`. */
const saveRetry = { stepMs: 60_000, mostMs: 15 * 60_000 } as const;

/** A failed wake is tried again after this long, twice as long each time, at most after `mostMs`: somebody waits. */
const wakeRetry = { firstMs: 5_000, mostMs: 60_000 } as const;

export function from(session: Session): Step {
  return { session, effects: [] };
}

export function change({ session, effects }: Step, changes: Partial<Session>, ...more: Effect[]): Step {
  return { session: { ...session, ...changes }, effects: [...effects, ...more] };
}

export function applied({ session, effects }: Step, explanation: string): Decision {
  return { outcome: 'applied', session, effects, explanation };
}

/** Clears the deadline. The timer that was set for it finds another generation, and is taken out of its queue. */
export function disarm(step: Step): Step {
  const { deadlineMs, generation } = step.session;
  if (deadlineMs === null) return step;
  return change(step, { deadlineMs: null, generation: generation + 1 }, { type: 'unschedule_grace', generation });
}

export function arm(step: Step, atMs: number): Step {
  const disarmed = disarm(step);
  const generation = disarmed.session.generation + 1;
  return change(disarmed, { deadlineMs: atMs, generation }, { type: 'schedule_grace', generation, atMs });
}

export function open(
  step: Step,
  {
    kind,
    reason,
    requestedBy,
    forced = false,
    goingBack = null,
  }: { kind: OperationKind; reason: string; requestedBy: string; forced?: boolean; goingBack?: GoingBack | null },
): Step {
  const disarmed = disarm(step);
  const generation = disarmed.session.generation + 1;
  // Who was gone when the machine was put away has nothing to do with who is waited for when it comes back.
  const comesBack = kind === 'boot' || kind === 'restore';
  const untouched = kind === 'restore' && occupancy(step.session.presence) === 'empty';
  const awaited = requestedBy === brokerActor;
  return change(
    disarmed,
    {
      generation,
      ...(comesBack && { absence: null, presence: withMachineAnew(step.session.presence), untouched }),
      operation: {
        kind,
        phase: firstPhase(kind),
        status: 'pending',
        requestedBy,
        cancelRequested: false,
        forced,
        awaited,
        goingBack,
        again: null,
      },
    },
    { type: 'open_operation', kind, generation, reason, requestedBy, forced, awaited, goingBack },
  );
}

/** Ends the open operation; what still reports for it, or is queued for it, finds it gone. */
export function end(step: Step, status: EndedStatus, error: RecordedError | null = null): Step {
  const { operation, generation } = step.session;
  if (operation === null) return step;
  return change(
    step,
    { operation: null },
    {
      type: 'end_operation',
      kind: operation.kind,
      generation,
      status,
      error,
      unclaimed: operation.status === 'pending',
    },
  );
}

/** The machine runs: a deadline says how long, if nobody is there and the pool puts such desktops away. */
export function settled(step: Step, pool: Pool, nowMs: number): Step {
  const plan = planFor(step.session, pool);
  if (plan === null) return change(disarm(step), { machine: 'running', saveFailures: 0 });
  const atMs = Math.max(plan.atMs, nowMs);
  const { deadlineMs } = step.session;
  // A timer whose time has come fires by itself: no new one is set for it.
  const isSet = deadlineMs !== null && Math.max(deadlineMs, nowMs) === atMs;
  return change(isSet ? step : arm(step, atMs), { machine: 'grace' });
}

/** As `settled`, but if nobody is there they are waited for from now on. */
export function settledAnew(step: Step, pool: Pool, nowMs: number): Step {
  const { presence, absence } = step.session;
  const cause = absence?.cause ?? 'unused';
  const begins = occupancy(presence) === 'empty' ? { sinceMs: nowMs, cause } : null;
  return settled(change(step, { absence: begins }), pool, nowMs);
}

/** A save has ended and the machine runs: whoever wanted one of their own gets it now, unless something is in the way. */
export function savedAgain(step: Step, again: Again | null | undefined, pool: Pool, nowMs: number): Step | null {
  if (!again) return null;
  const { presence, heldUntilMs } = step.session;
  const isHindered = occupancy(presence) !== 'empty' || pool.policy.neverSave === true || (heldUntilMs ?? 0) > nowMs;
  if (isHindered && !again.forced) return null;
  return change(open(step, { kind: 'save', ...again }), { machine: 'queued' });
}

/** The machine runs though it should have been saved: tried again later, unless somebody is there by now. */
export function unsaved(step: Step, nowMs: number): Step {
  const saveFailures = step.session.saveFailures + 1;
  if (occupancy(step.session.presence) !== 'empty') return change(step, { machine: 'running', saveFailures });
  return triedAgain(change(step, { saveFailures }), nowMs);
}

/** After a pause that grows with the failures and counts from the last of them, and not while the desktop is held. */
export function triedAgain(step: Step, failedAtMs: number): Step {
  const { saveFailures, heldUntilMs, deadlineMs } = step.session;
  const pauseMs = Math.min(saveRetry.stepMs * saveFailures, saveRetry.mostMs);
  const atMs = Math.max(failedAtMs + pauseMs, heldUntilMs ?? 0);
  return change(deadlineMs === atMs ? step : arm(step, atMs), { machine: 'save-failed' });
}

/** It did not wake and sleeps on. As long as somebody is there for it, it is tried again. */
export function asleepAgain(step: Step, nowMs: number): Step {
  const wakesInVain = step.session.wakesInVain + 1;
  const asleep = change(step, { machine: 'saved', wakesInVain });
  if (!mayBePresent(step.session.presence)) return asleep;
  return arm(asleep, nowMs + Math.min(wakeRetry.firstMs * 2 ** (wakesInVain - 1), wakeRetry.mostMs));
}

/** Off; but whoever came meanwhile is not left waiting. */
export function bootIfPresent(step: Step): Step {
  if (!mayBePresent(step.session.presence)) return step;
  const boot = { kind: 'boot', reason: 'a user is waiting', requestedBy: brokerActor } as const;
  return change(open(step, boot), { machine: 'booting' });
}

/** The machine is gone and it is unclear how: a checkpoint may be older than the disk, so it is woken only on request. */
export function withoutMachine(step: Step): Step {
  if (step.session.checkpointed) return change(step, { machine: 'restore-blocked' });
  return bootIfPresent(change(step, { machine: 'off' }));
}

import type { ErrorCode, ErrorDetails } from '@dormouse/errors';
import { disconnectReasons, type DesktopEvent } from './broker-events';
import type { MachineState } from './machine-states';
import {
  firstPhase,
  type EndedStatus,
  type FinishStatus,
  type OpenStatus,
  type OperationKind,
  type OperationPhase,
} from './operations';
import { nobody, type Presence } from './presence';

/** An error as it is kept with a desktop or an operation. */
export interface RecordedError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: ErrorDetails;
}

export interface OpenOperation {
  readonly kind: OperationKind;
  readonly phase: OperationPhase;
  readonly status: OpenStatus;
  readonly requestedBy: string;
  readonly cancelRequested: boolean;
  /** An admin wants it although somebody may be there: presence does not hinder it, until somebody new arrives. */
  readonly forced: boolean;
  /** A user waits for it, whoever has asked for it: it is admitted before what nobody waits for. */
  readonly awaited: boolean;
  /** A restore that goes back to another checkpoint than the desktop's own, or a boot from its disk alone; null for all else. */
  readonly goingBack: GoingBack | null;
  /** Somebody wants a save of their own, whatever becomes of this one; null when nobody does. */
  readonly again: Again | null;
}

/** A save that is wanted besides the one under way. */
export interface Again {
  readonly requestedBy: string;
  readonly reason: string;
  readonly forced: boolean;
}

/** Another state of the desktop than its own checkpoint is gone on from. */
export interface GoingBack {
  /** Null: its disk alone, without any memory. */
  readonly checkpointId: string | null;
  /** Where the desktop is again when this fails before its guest has run: nothing was changed. */
  readonly from: MachineState;
}

/**
 * Why nobody is there. `unused`: nobody has come since the desktop was started, woken or announced. `unassigned`, `deleted`: the
 * broker says that it has no user any more, or is none of its desktops.
 */
export const absenceCauses = [...disconnectReasons, 'logoff', 'unused', 'unassigned', 'deleted'] as const;
export type AbsenceCause = (typeof absenceCauses)[number];

/** Nobody is there, for certain. */
export interface Absence {
  /** Epoch ms; what the desktop is waited with counts from here. */
  readonly sinceMs: number;
  readonly cause: AbsenceCause;
}

/** All that decisions about one desktop depend on, but for its pool. Times are epoch ms. */
export interface Session {
  readonly desktopId: string;
  /** Whose it is: the broker (CloudEvents `source`) that was the first to speak of it, or that an operator has named. */
  readonly broker: string | null;
  readonly machine: MachineState;
  /** Since when `machine` is what it is. */
  readonly machineSinceMs: number;
  /**
   * Moves with every operation opened and every deadline set or cleared, never back: it names the one operation or
   * deadline that is in force. What carries an older one is stale.
   */
  readonly generation: number;
  readonly presence: Presence;
  /** Null while somebody is or may be there, and for a desktop that waits for its first user. */
  readonly absence: Absence | null;
  /** Since when it is not certain who is there; null when it is. */
  readonly doubtSinceMs: number | null;
  /** When it was last woken to the last page. */
  readonly wokeAtMs: number | null;
  /** Woken, and nobody has been there since, for certain. */
  readonly untouched: boolean;
  /** Not put away before, because somebody said so. */
  readonly heldUntilMs: number | null;
  /** The end of what a desktop is waited with, or of the pause before a failed save or wake is tried again; null when none runs. */
  readonly deadlineMs: number | null;
  readonly operation: OpenOperation | null;
  /** The launch spec was examined and found good at least once. */
  readonly accepted: boolean;
  /** A durable checkpoint exists. */
  readonly checkpointed: boolean;
  /** In a row, without a success in between. */
  readonly restoreFailures: number;
  /** Wakes in a row that have come to nothing, whatever the reason: the more, the longer the next is waited with. */
  readonly wakesInVain: number;
  readonly saveFailures: number;
  readonly lastError: RecordedError | null;
}

/** `generation` is the last one an earlier desktop of the same id has used; 0 when there was none. */
export function newSession(
  { desktopId, generation, requestedBy }: { desktopId: string; generation: number; requestedBy: string },
  nowMs: number,
): Session {
  return {
    desktopId,
    broker: null,
    machine: 'registering',
    machineSinceMs: nowMs,
    generation: generation + 1,
    presence: nobody,
    absence: null,
    doubtSinceMs: null,
    wokeAtMs: null,
    untouched: false,
    heldUntilMs: null,
    deadlineMs: null,
    operation: {
      kind: 'register',
      phase: firstPhase('register'),
      status: 'pending',
      requestedBy,
      cancelRequested: false,
      forced: false,
      awaited: false,
      goingBack: null,
      again: null,
    },
    accepted: false,
    checkpointed: false,
    restoreFailures: 0,
    wakesInVain: 0,
    saveFailures: 0,
    lastError: null,
  };
}

/** Who is named as the requester of what a broker event sets off, and of what a deadline does. */
export const brokerActor = 'broker';
export const policyActor = 'policy';
/** And of the save of a desktop that is to be woken on another host. */
export const drainActor = 'drain';

/** Everything that can happen to a session. What a worker reports carries the generation it works for. */
export type SessionEvent =
  | { readonly type: 'broker'; readonly event: DesktopEvent }
  | {
      readonly type: 'request';
      readonly kind: OperationKind;
      readonly reason: string;
      readonly requestedBy: string;
      /** Although somebody is there. Only heeded for `save` and `stop`. */
      readonly force?: boolean;
      /** Only for `save`: not content with one under way that may be called off. */
      readonly fresh?: boolean;
      /** Only for `restore`: the durable checkpoint of this desktop that was named. */
      readonly checkpoint?: { readonly id: string; readonly current: boolean };
      /** Only for `boot`: what is only in its checkpoint's memory may be lost. */
      readonly fromDiskAlone?: boolean;
    }
  /** Its worker cannot wake it here, and another host has been found. */
  | { readonly type: 'elsewhere_asked'; readonly generation: number }
  | {
      readonly type: 'cancel_asked';
      readonly generation: number;
      readonly requestedBy: string;
      readonly reason: string;
    }
  /** This broker sends no heartbeats any more, or does so again. */
  | { readonly type: 'broker_silent' | 'broker_heard'; readonly source: string }
  /** It is gone for good: an operator says so. Nothing that it has said of the desktop counts any more. */
  | { readonly type: 'broker_retired'; readonly source: string }
  /** An operator says whose it is; null: of the broker that speaks of it next. */
  | { readonly type: 'broker_named'; readonly source: string | null }
  /** Null: not held any longer. */
  | { readonly type: 'hold_set'; readonly untilMs: number | null }
  /** What the pool wants, or whether a storm is on, has changed since the last decision. */
  | { readonly type: 'pool_changed' }
  | { readonly type: 'grace_elapsed'; readonly generation: number }
  | { readonly type: 'claimed'; readonly generation: number }
  | { readonly type: 'phase_reached'; readonly generation: number; readonly phase: OperationPhase }
  /** The machine stands still, and has written nothing to its disks since it was woken. */
  | { readonly type: 'fall_back_asked'; readonly generation: number }
  | { readonly type: 'switchover_reached'; readonly generation: number }
  | { readonly type: 'checkpoint_durable'; readonly generation: number }
  | { readonly type: 'linger_asked'; readonly generation: number }
  | { readonly type: 'release_reached'; readonly generation: number }
  | { readonly type: 'guest_ran'; readonly generation: number }
  | {
      readonly type: 'operation_finished';
      readonly generation: number;
      readonly status: FinishStatus;
      readonly error: RecordedError | null;
    }
  | { readonly type: 'machine_observed'; readonly observed: Observed };

/** What a host finds of a desktop that nobody works on. `shut-down`: its guest has ended by itself, and its machine is gone. */
export type Observed = 'absent' | 'running' | 'shut-down';

/** What a decision asks of the world outside the session; the session itself is in `Decision.session`. */
export type Effect =
  | {
      readonly type: 'open_operation';
      readonly kind: OperationKind;
      readonly generation: number;
      readonly reason: string;
      readonly requestedBy: string;
      readonly forced: boolean;
      readonly awaited: boolean;
      readonly goingBack: GoingBack | null;
    }
  | {
      readonly type: 'end_operation';
      readonly kind: OperationKind;
      readonly generation: number;
      readonly status: EndedStatus;
      readonly error: RecordedError | null;
      /** No worker had taken it: its job may still lie in the queue. */
      readonly unclaimed: boolean;
    }
  | { readonly type: 'request_cancel'; readonly generation: number; readonly because: RecordedError }
  /** A user waits for it now, and no worker has taken it: it goes before the others. */
  | { readonly type: 'hasten_operation'; readonly generation: number }
  /** Its worker has left it; one is to take it up again then. */
  | { readonly type: 'resume_operation'; readonly generation: number; readonly atMs: number }
  | { readonly type: 'schedule_grace'; readonly generation: number; readonly atMs: number }
  | { readonly type: 'unschedule_grace'; readonly generation: number }
  | { readonly type: 'remove_desktop' };

export interface Decision {
  /**
   * applied: taken; the session may have changed. joined: what was asked for is under way already. ignored: true, but
   * nothing to do about it. stale: overtaken, nothing changed. refused: not allowed now, see `refusal`.
   */
  readonly outcome: 'applied' | 'joined' | 'ignored' | 'stale' | 'refused';
  readonly session: Session;
  readonly effects: readonly Effect[];
  /** One sentence for people. */
  readonly explanation: string;
  readonly refusal?: { readonly code: ErrorCode; readonly message: string };
}

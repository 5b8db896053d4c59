import type { ErrorCode } from '@dormouse/errors';
import { doubtsInWords, doubtsOf } from './doubt';
import { occupancy } from './presence';
import type { Pool } from './plan';
import type { Decision, RecordedError, Session, SessionEvent } from './session';
import type { Signal } from './transitions';

export interface Question {
  /** With presence, and what follows from it alone, as it is after the event. */
  readonly session: Session;
  readonly event: SessionEvent;
  readonly signal: Signal;
  readonly pool: Pool;
  readonly nowMs: number;
}

/** Timers fire a little early when two clocks differ; later than this before the deadline counts as reached. */
export const earlyTimerMs = 100;

export type Rule = (question: Question) => Decision;

export function refused(session: Session, code: ErrorCode, message: string): Decision {
  return { outcome: 'refused', session, effects: [], explanation: message, refusal: { code, message } };
}

export function stays(session: Session, outcome: 'applied' | 'ignored' | 'joined', explanation: string): Decision {
  return { outcome, session, effects: [], explanation };
}

const unexplained: RecordedError = {
  code: 'CANCELLED',
  message: 'the worker gave the operation up without saying why; see its log',
  details: {},
};

/** Why an operation did not succeed; null when it did. */
export function errorOf(event: SessionEvent): RecordedError | null {
  if (event.type !== 'operation_finished' || event.status === 'succeeded') return null;
  return event.error ?? unexplained;
}

export function calledOffBecause(message: string): RecordedError {
  return { code: 'CANCELLED', message, details: {} };
}

/**
 * Why a desktop must not be put away now, or null: nobody is there for certain, or the open operation was forced. A user
 * who arrives during a forced one asks for its cancellation like any other.
 */
export function objection(session: Session): { code: 'USER_PRESENT' | 'PRESENCE_UNKNOWN'; message: string } | null {
  if (session.operation?.forced === true) return null;
  switch (occupancy(session.presence)) {
    case 'present':
      return { code: 'USER_PRESENT', message: 'a user is connected; try again when they have left' };
    case 'unknown':
      return {
        code: 'PRESENCE_UNKNOWN',
        message: `it is not known who is there, because ${doubtsInWords(doubtsOf(session.presence))}; try again then, or force it if nobody is there`,
      };
    case 'empty':
      return null;
  }
}

import { isDeepStrictEqual } from 'node:util';
import type { DesktopEvent } from './broker-events';
import { attended, inDoubtOrNot } from './attendance';
import type { Pool } from './plan';
import { heardAgain, inSilence, observe, occupancy, visibleConnections } from './presence';
import { ruleBook } from './rule-book';
import type { Decision, Observed, Session, SessionEvent } from './session';
import { answers, type Signal } from './transitions';

const requestSignals = {
  register: 'registerRequested',
  boot: 'bootRequested',
  save: 'saveRequested',
  restore: 'restoreRequested',
  stop: 'stopRequested',
} as const;

const reportSignals = {
  claimed: 'claimed',
  phase_reached: 'phaseReached',
  fall_back_asked: 'fallBackAsked',
  elsewhere_asked: 'elsewhereAsked',
  switchover_reached: 'switchoverReached',
  checkpoint_durable: 'checkpointDurable',
  linger_asked: 'lingerAsked',
  release_reached: 'releaseReached',
  guest_ran: 'guestRan',
} as const;

const foundSignals: Readonly<Record<Observed, Signal>> = {
  absent: 'foundAbsent',
  running: 'foundRunning',
  'shut-down': 'foundShutDown',
};

/**
 * The one place where it is decided what an event means for a desktop: what is stale is turned away, the rest is
 * reduced to a signal, and the transition table names the rule that answers it.
 * @param nowMs epoch ms, the time of the decision
 */
export function decide(session: Session, event: SessionEvent, pool: Pool, nowMs: number): Decision {
  const answered = (signal: Signal, present: Session = session): Decision =>
    ruleBook[answers[present.machine][signal]]({ session: present, event, signal, pool, nowMs });
  const decision = answer(session, event, nowMs, answered);
  if (decision.session.machine === session.machine) return decision;
  return { ...decision, session: { ...decision.session, machineSinceMs: nowMs } };
}

type Answered = (signal: Signal, present?: Session) => Decision;

function answer(session: Session, event: SessionEvent, nowMs: number, answered: Answered): Decision {
  switch (event.type) {
    case 'broker':
      return decidePresence(session, event.event, nowMs, answered);
    case 'broker_silent':
    case 'broker_heard':
      return decideSilence(session, event.type === 'broker_silent', nowMs, answered);
    case 'request':
      return answered(requestSignals[event.kind]);
    case 'hold_set':
      return answered('termsChanged', { ...session, heldUntilMs: event.untilMs });
    case 'pool_changed':
      return answered('termsChanged');
    case 'machine_observed':
      return answered(foundSignals[event.observed]);
    case 'grace_elapsed':
      if (session.deadlineMs === null || event.generation !== session.generation) {
        return stale(session, 'this timer was set for a deadline that is no longer in force');
      }
      return answered('graceElapsed');
    default:
      if (session.operation === null || event.generation !== session.generation) {
        return stale(session, 'the operation is no longer in force');
      }
      if (event.type === 'cancel_asked') return answered('cancelAsked');
      return answered(event.type === 'operation_finished' ? event.status : reportSignals[event.type]);
  }
}

function decidePresence(session: Session, event: DesktopEvent, nowMs: number, answered: Answered): Decision {
  const presence = observe(session.presence, event);
  if (presence === null) return stale(session, 'the event was overtaken by what is already known');
  const present = attended(session, event, presence, nowMs);
  const before = occupancy(session.presence);
  const after = occupancy(presence);
  if (announcesUser(event, visibleConnections(presence))) return answered('arrived', present);
  if (after === 'empty' && present.loggedOff && !session.loggedOff) return answered('loggedOff', present);
  if (after === before) {
    if (!isDeepStrictEqual(present.absence, session.absence)) return answered('termsChanged', present);
    const same = isDeepStrictEqual(whatIsKnown(present), whatIsKnown(session));
    return { ...answered('unchanged', present), ...(same && { outcome: 'ignored' }) };
  }
  return answered(({ present: 'arrived', empty: 'left', unknown: 'unsure' } as const)[after], present);
}

/** What its broker knew of a desktop may be so no longer when it is not heard any more. */
function decideSilence(session: Session, isSilent: boolean, nowMs: number, answered: Answered): Decision {
  const before = occupancy(session.presence);
  const { silent } = session.presence;
  if ((silent !== undefined) === isSilent) return stale(session, 'that was known already');
  if (isSilent && before === 'empty' && session.absence === null) {
    // Nobody has been there yet, and it is not put away before somebody has.
    return { outcome: 'ignored', session, effects: [], explanation: 'the desktop waits for its first user anyway' };
  }
  const presence = isSilent ? inSilence(session.presence) : heardAgain(session.presence);
  const after = occupancy(presence);
  if (after === before) return answered('unchanged', { ...session, presence });
  const next = inDoubtOrNot(session, presence, nowMs);
  // Whoever is there has been there all the while: nobody has arrived.
  return answered(({ present: 'termsChanged', empty: 'left', unknown: 'unsure' } as const)[after], next);
}

function whatIsKnown({ presence, idleSinceMs, assignment }: Session) {
  return { connections: visibleConnections(presence), idle: idleSinceMs !== null, assignment };
}

/** A connect that came so late that its disconnect is known already announces nobody. */
function announcesUser(event: DesktopEvent, connections: readonly string[]): boolean {
  if (event.type === 'vdc.session.connect_requested') return true;
  return (
    'connectionId' in event && event.type !== 'vdc.session.disconnected' && connections.includes(event.connectionId)
  );
}

function stale(session: Session, explanation: string): Decision {
  return { outcome: 'stale', session, effects: [], explanation };
}

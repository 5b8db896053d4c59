import { isDeepStrictEqual } from 'node:util';
import { byHand, type DesktopEvent } from './broker-events';
import { assignmentIn, attended, idleSinceOf, inDoubtOrNot, isLoggedOff } from './attendance';
import { machineStates } from './machine-states';
import type { Pool } from './plan';
import {
  observe,
  occupancy,
  visibleConnections,
  withoutDoubts,
  withoutSource,
  withSilence,
  type Presence,
} from './presence';
import { refused, stays } from './rule';
import { ruleBook } from './rule-book';
import { isInDoubt } from './source-presence';
import { drainActor, type Decision, type Observed, type Session, type SessionEvent } from './session';
import { answers, type Signal } from './transitions';
import { mayMove } from './whose-desktop';

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
  const decision = answer(session, event, pool, nowMs, answered);
  if (decision.session.machine === session.machine) return decision;
  return { ...decision, session: { ...atRest(decision.session, session), machineSinceMs: nowMs } };
}

/**
 * Where no machine is left nobody is connected: what was in doubt is not so any more. But a desktop that is taken from under whoever
 * may be there, to be woken elsewhere, and one whose wake is tried again, are still waited for.
 */
function atRest(session: Session, before: Session): Session {
  const isAbsent = machineStates[session.machine].machine === 'absent';
  const isAwaited = session.deadlineMs !== null || before.operation?.requestedBy === drainActor;
  if (!isAbsent || isAwaited || !session.presence.sources.some(isInDoubt)) return session;
  return { ...session, presence: withoutDoubts(session.presence), doubtSinceMs: null };
}

type Answered = (signal: Signal, present?: Session) => Decision;

function answer(session: Session, event: SessionEvent, pool: Pool, nowMs: number, answered: Answered): Decision {
  switch (event.type) {
    case 'broker':
      if (!mayMove(session, event.event, pool.policy.brokers)) return notItsBroker(session, event.event, pool);
      return decidePresence(session, event.event, pool, nowMs, answered);
    case 'broker_silent':
    case 'broker_heard':
      return decideSilence(session, event.source, event.type === 'broker_silent', nowMs, answered);
    case 'broker_retired':
      return decideRetired(session, event.source, nowMs, answered);
    case 'broker_named':
      if (event.source === session.broker) return stale(session, 'that was known already');
      return stays({ ...session, broker: event.source }, 'applied', whoseFromNowOn(event.source));
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

function decidePresence(
  session: Session,
  event: DesktopEvent,
  pool: Pool,
  nowMs: number,
  answered: Answered,
): Decision {
  const hasMachine = machineStates[session.machine].machine !== 'absent';
  const presence = observe(session.presence, event, { nowMs, hasMachine });
  if (presence === null) return stale(session, 'the event was overtaken by what is already known');
  const present = attended(session, event, presence, pool.policy, nowMs);
  const before = occupancy(session.presence);
  const after = occupancy(presence);
  if (announcesUser(event, visibleConnections(presence))) return answered('arrived', present);
  if (after === 'empty' && isLoggedOff(presence) && !isLoggedOff(session.presence))
    return answered('loggedOff', present);
  if (after !== before) return answered(signalOf[after], present);
  if (!isDeepStrictEqual(present.absence, session.absence)) return answered('termsChanged', present);
  const same = isDeepStrictEqual(whatIsKnown(present), whatIsKnown(session));
  return { ...answered('unchanged', present), ...(same && { outcome: 'ignored' }) };
}

const signalOf = { present: 'arrived', empty: 'left', unknown: 'unsure' } as const;

/** What its broker knew of a desktop may be so no longer when it is not heard any more. */
function decideSilence(
  session: Session,
  source: string,
  isSilent: boolean,
  nowMs: number,
  answered: Answered,
): Decision {
  const presence = withSilence(session.presence, source, isSilent);
  if (isSilent && machineStates[session.machine].machine === 'absent') {
    return {
      outcome: 'ignored',
      session,
      effects: [],
      explanation: 'there is no machine that somebody may have come to',
    };
  }
  if (presence !== null && isSilent && occupancy(session.presence) === 'empty' && session.absence === null) {
    // Nobody has been there yet, and it is not put away before somebody has.
    return { outcome: 'ignored', session, effects: [], explanation: 'the desktop waits for its first user anyway' };
  }
  return decideAnew(session, presence, nowMs, answered);
}

/** Whoever it was that it has spoken for: the desktop is nobody's then, until another broker speaks of it. */
function decideRetired(session: Session, source: string, nowMs: number, answered: Answered): Decision {
  const presence = withoutSource(session.presence, source);
  if (session.broker !== source) return decideAnew(session, presence, nowMs, answered);
  const released = { ...session, broker: null };
  if (presence === null) return stays(released, 'applied', whoseFromNowOn(null));
  return decideAnew(released, presence, nowMs, answered);
}

function whoseFromNowOn(source: string | null): string {
  return source === null
    ? 'the desktop is that of the broker that speaks of it next'
    : `the desktop is that of the broker ${source} from now on`;
}

/** What a source has said counts less, or more, than it did; nobody has come or gone. */
function decideAnew(session: Session, presence: Presence | null, nowMs: number, answered: Answered): Decision {
  if (presence === null) return stale(session, 'that was known already');
  const next = inDoubtOrNot(session, presence, nowMs);
  const after = occupancy(presence);
  if (after !== occupancy(session.presence)) {
    // Whoever is there has been there all the while: nobody has arrived.
    return answered(after === 'present' ? 'termsChanged' : signalOf[after], next);
  }
  return answered(isDeepStrictEqual(next.absence, session.absence) ? 'unchanged' : 'termsChanged', next);
}

function notItsBroker(session: Session, { source }: DesktopEvent, { policy }: Pool): Decision {
  const { desktopId, broker } = session;
  const why = Array.isArray(policy.brokers)
    ? `the pool of this desktop takes no events from the broker ${source}; add it to the pool's \`brokers\` if it should`
    : source === byHand
      ? `the desktop belongs to the broker ${broker}: speak as that one, with \`--source ${broker}\``
      : `the desktop belongs to the broker ${broker}, so ${source} moves nothing. If it is to be its own: \`dormouse desktop ` +
        `broker ${desktopId} ${source}\`; if ${broker} is gone: \`dormouse broker retire ${broker}\`; if several brokers may ` +
        `speak of one desktop: name them in \`brokers\` of its pool`;
  return refused(session, 'BROKER_NOT_ALLOWED', why);
}

function whatIsKnown({ presence }: Session) {
  return {
    connections: visibleConnections(presence),
    idle: idleSinceOf(presence) !== null,
    assignment: assignmentIn(presence),
  };
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

import type { DesktopEvent } from './broker-events';
import { occupancy, type Presence } from './presence';
import type { Absence, AbsenceCause, Assignment, Session } from './session';

/** The session once an event has told who is there: since when nobody is, why, and whether a logoff stands behind it. */
export function attended(session: Session, event: DesktopEvent, presence: Presence, nowMs: number): Session {
  const loggedOff = isLoggedOff(session, event, presence);
  const assignment = assignmentAfter(session, event);
  return {
    ...session,
    broker: event.source,
    presence,
    loggedOff,
    untouched: session.untouched && occupancy(presence) === 'empty',
    assignment,
    idleSinceMs: idleSince(session, event, presence, nowMs),
    absence: absenceAfter(session, event, { presence, loggedOff, assignment }, nowMs),
    doubtSinceMs: occupancy(presence) === 'unknown' ? (session.doubtSinceMs ?? nowMs) : null,
  };
}

/**
 * The session once its broker has fallen silent, or is heard again. Who is there by then is what was known before; if that is
 * nobody, they are waited for from now on, since nobody told when the last one left.
 */
export function inDoubtOrNot(session: Session, presence: Presence, nowMs: number): Session {
  const owner = ownerOf(session.assignment);
  const cause = session.loggedOff ? 'logoff' : owner === 'somebody' ? 'unknown' : owner;
  const isEmpty = occupancy(presence) === 'empty';
  return {
    ...session,
    presence,
    untouched: session.untouched && isEmpty,
    absence: isEmpty ? { sinceMs: nowMs, cause } : null,
    doubtSinceMs: occupancy(presence) === 'unknown' ? (session.doubtSinceMs ?? nowMs) : null,
  };
}

/** Nothing that came before it is missing, and nothing that came after it is known. */
function isLastWord(event: DesktopEvent, { sequence, ahead }: Presence): boolean {
  return event.sequence === null || (event.sequence === sequence && ahead.length === 0);
}

/**
 * A logoff can cost what is in memory, so it is only believed as the last word: one that comes late, when the user is back
 * already, or early, with events missing before it, is none.
 */
function isLoggedOff(session: Session, event: DesktopEvent, presence: Presence): boolean {
  switch (event.type) {
    case 'vdc.session.logged_off':
      return isLastWord(event, presence) || session.loggedOff;
    case 'vdc.session.logged_on':
    case 'vdc.session.connect_requested':
    case 'vdc.session.connected':
    case 'vdc.session.reconnected':
      return false;
    default:
      return session.loggedOff;
  }
}

/** Who is idle is there: nothing is put to sleep under them. It tells why they are gone, should their line break. */
function idleSince(session: Session, event: DesktopEvent, presence: Presence, nowMs: number): number | null {
  if (occupancy(presence) === 'empty') return null;
  switch (event.type) {
    case 'vdc.session.idle':
      return isLastWord(event, presence) ? (session.idleSinceMs ?? nowMs) : session.idleSinceMs;
    case 'vdc.session.active':
    case 'vdc.session.logged_on':
    case 'vdc.session.connect_requested':
    case 'vdc.session.connected':
    case 'vdc.session.reconnected':
      return null;
    default:
      return session.idleSinceMs;
  }
}

/** In the order in which it was said, whatever else may be missing: nothing of it is lost for an event that comes late. */
function assignmentAfter({ assignment }: Session, event: DesktopEvent): Assignment | null {
  const kind = assignmentOf[event.type];
  const { brokerEpoch, sequence } = event;
  const comparable = assignment !== null && sequence !== null && assignment.brokerEpoch === brokerEpoch;
  const isOlder = comparable && sequence < (assignment.sequence ?? 0);
  if (kind === undefined || isOlder) return assignment;
  return { kind, userRef: kind === 'assigned' ? event.userRef : null, brokerEpoch, sequence };
}

const assignmentOf: Partial<Record<DesktopEvent['type'], Assignment['kind']>> = {
  'vdc.desktop.assigned': 'assigned',
  'vdc.desktop.unassigned': 'unassigned',
  'vdc.desktop.deleted': 'deleted',
};

function absenceAfter(
  session: Session,
  event: DesktopEvent,
  { presence, loggedOff, assignment }: Pick<Session, 'presence' | 'loggedOff' | 'assignment'>,
  nowMs: number,
): Absence | null {
  if (occupancy(presence) !== 'empty') return null;
  if (event.type === 'vdc.session.connect_requested') return { sinceMs: nowMs, cause: 'unused' };
  const emptied = occupancy(session.presence) !== 'empty';
  if (loggedOff && (emptied || !session.loggedOff)) return { sinceMs: nowMs, cause: 'logoff' };
  const owner = ownerOf(assignment);
  const reassigned = owner !== ownerOf(session.assignment);
  if (!emptied && (!reassigned || session.absence?.cause === 'logoff')) return session.absence;
  if (owner !== 'somebody') return { sinceMs: nowMs, cause: owner };
  if (emptied) return { sinceMs: nowMs, cause: causeOf(session, event) };
  // It has a user again, who is waited for like anybody; one that waits for its first user goes on to.
  return session.absence === null ? null : { sinceMs: nowMs, cause: 'unused' };
}

/** Where the broker says nothing somebody may come back. */
function ownerOf(assignment: Assignment | null): 'somebody' | 'unassigned' | 'deleted' {
  return assignment === null || assignment.kind === 'assigned' ? 'somebody' : assignment.kind;
}

/** Reasons that say nothing of what the user wanted: of one who was idle, that they had gone before. */
const sayNothing: readonly AbsenceCause[] = ['network', 'agent_lost', 'unknown'];

function causeOf({ idleSinceMs }: Session, event: DesktopEvent): AbsenceCause {
  const reason = event.type === 'vdc.session.disconnected' ? event.reason : 'unknown';
  return idleSinceMs !== null && sayNothing.includes(reason) ? 'idle' : reason;
}

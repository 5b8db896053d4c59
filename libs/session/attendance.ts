import type { DesktopEvent } from './broker-events';
import { occupancy, type Presence } from './presence';
import type { Absence, Session } from './session';

/** The session once an event has told who is there: since when nobody is, why, and whether a logoff stands behind it. */
export function attended(session: Session, event: DesktopEvent, presence: Presence, nowMs: number): Session {
  const loggedOff = isLoggedOff(session, event, presence);
  return {
    ...session,
    broker: event.source,
    presence,
    loggedOff,
    untouched: session.untouched && occupancy(presence) === 'empty',
    absence: absenceAfter(session, event, { presence, loggedOff }, nowMs),
    doubtSinceMs: occupancy(presence) === 'unknown' ? (session.doubtSinceMs ?? nowMs) : null,
  };
}

/**
 * A logoff can cost what is in memory, so it is only believed as the last word: one that comes late, when the user is back
 * already, or early, with events missing before it, is none.
 */
function isLoggedOff(session: Session, event: DesktopEvent, { sequence, ahead }: Presence): boolean {
  switch (event.type) {
    case 'vdc.session.logged_off':
      if (event.sequence === null || (event.sequence === sequence && ahead.length === 0)) return true;
      return session.loggedOff;
    case 'vdc.session.logged_on':
    case 'vdc.session.connect_requested':
    case 'vdc.session.connected':
    case 'vdc.session.reconnected':
      return false;
    default:
      return session.loggedOff;
  }
}

function absenceAfter(
  session: Session,
  event: DesktopEvent,
  { presence, loggedOff }: Pick<Session, 'presence' | 'loggedOff'>,
  nowMs: number,
): Absence | null {
  if (occupancy(presence) !== 'empty') return null;
  if (event.type === 'vdc.session.connect_requested') return { sinceMs: nowMs, cause: 'unused' };
  const emptied = occupancy(session.presence) !== 'empty';
  if (loggedOff && (emptied || !session.loggedOff)) return { sinceMs: nowMs, cause: 'logoff' };
  if (!emptied) return session.absence;
  return { sinceMs: nowMs, cause: event.type === 'vdc.session.disconnected' ? event.reason : 'unknown' };
}

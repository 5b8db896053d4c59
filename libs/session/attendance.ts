import type { DesktopEvent } from './broker-events';
import { openOf } from './connections';
import { occupancy, type Presence } from './presence';
import type { PoolPolicy } from './pool-policy';
import type { Absence, AbsenceCause, Session } from './session';
import type { Activity, Assignment, Left, SourcePresence } from './source-presence';
import { claims } from './whose-desktop';

/**
 * A logoff is told before or after the disconnect it belongs to. Of one that is told before, the disconnect comes within this time: if
 * it does not, the user has logged on again unseen, or the line broke much later for a reason of its own.
 */
const logoffBelongsMs = 60_000;

/** The session once an event has told who is there, and whose the desktop is: since when nobody is there, and why. */
export function attended(
  session: Session,
  event: DesktopEvent,
  presence: Presence,
  { brokers }: Pick<PoolPolicy, 'brokers'>,
  nowMs: number,
): Session {
  return {
    ...session,
    broker: session.broker ?? (claims(event, brokers) ? event.source : null),
    ...whoIsThere(session, presence, nowMs),
    absence: absenceAfter(session, event, presence, nowMs),
  };
}

/**
 * The session once a source counts no longer, or is doubted, or is not doubted any more. Who is there by then is what was known before;
 * if that is nobody, they are waited for from now on, since nobody told when the last one left.
 */
export function inDoubtOrNot(session: Session, presence: Presence, nowMs: number): Session {
  return { ...session, ...whoIsThere(session, presence, nowMs), absence: absenceWithout(session, presence, nowMs) };
}

/** Whoever was there has logged off, by every source that had somebody there, and nothing since contradicts it. */
export function isLoggedOff({ sources }: Presence): boolean {
  const hadSomebody = sources.filter(({ left, connections }) => left !== null || openOf(connections).length > 0);
  return hadSomebody.length > 0 && hadSomebody.every(hasLoggedOff);
}

/** Since when all who are connected have not touched the desktop; null when one has, or when nobody is there. */
export function idleSinceOf({ sources }: Presence): number | null {
  const present = sources.filter(({ connections }) => openOf(connections).length > 0);
  const since = present.map(({ activity }) => (activity?.state === 'idle' ? activity.sinceMs : null));
  return since.length === 0 || since.includes(null) ? null : Math.max(...since.map(Number));
}

/** Whose it is: a source that says so is believed; that it is nobody's takes all that speak of it. */
export function assignmentIn({ sources }: Presence): Assignment | null {
  const said = sources.map(({ assignment }) => assignment);
  const named = (kind: Assignment['kind']) => said.find((one) => one?.kind === kind);
  return named('assigned') ?? (said.includes(null) ? null : (named('unassigned') ?? named('deleted') ?? null));
}

/** Where no source says otherwise somebody may come back. */
function ownerOf(presence: Presence): 'somebody' | 'unassigned' | 'deleted' {
  const assignment = assignmentIn(presence);
  return assignment === null || assignment.kind === 'assigned' ? 'somebody' : assignment.kind;
}

function hasLoggedOff({ activity, left }: SourcePresence): boolean {
  return activity?.state === 'loggedOff' && left !== null && msBefore(activity, left) <= logoffBelongsMs;
}

/** How long one thing happened before another of the same source; 0 or less when it did not. */
function msBefore(one: Activity, other: Left): number {
  const areNumbered = one.sequence !== null && other.sequence !== null;
  if (areNumbered && one.sequence > other.sequence) return 0;
  return one.atMs !== null && other.atMs !== null ? other.atMs - one.atMs : other.sinceMs - one.sinceMs;
}

function whoIsThere(
  session: Session,
  presence: Presence,
  nowMs: number,
): Pick<Session, 'presence' | 'untouched' | 'doubtSinceMs'> {
  const who = occupancy(presence);
  return {
    presence,
    untouched: session.untouched && who === 'empty',
    doubtSinceMs: who === 'unknown' ? (session.doubtSinceMs ?? nowMs) : null,
  };
}

function absenceWithout(session: Session, presence: Presence, nowMs: number): Absence | null {
  const { absence } = session;
  if (occupancy(presence) !== 'empty') return null;
  const isWithdrawn = absence?.cause === 'logoff' && !isLoggedOff(presence);
  if (occupancy(session.presence) === 'empty' && !isWithdrawn) return absence;
  const owner = ownerOf(presence);
  return { sinceMs: nowMs, cause: isLoggedOff(presence) ? 'logoff' : owner === 'somebody' ? 'unknown' : owner };
}

function absenceAfter(session: Session, event: DesktopEvent, presence: Presence, nowMs: number): Absence | null {
  if (occupancy(presence) !== 'empty') return null;
  const { absence } = session;
  const wasEmpty = occupancy(session.presence) === 'empty';
  const waitsForFirst = wasEmpty && absence === null;
  // Who is announced is waited for; where that is done already, for as long as it takes, it goes on.
  if (event.type === 'vdc.session.connect_requested') return waitsForFirst ? null : { sinceMs: nowMs, cause: 'unused' };
  if (isLoggedOff(presence)) {
    return wasEmpty && absence?.cause === 'logoff' ? absence : { sinceMs: nowMs, cause: 'logoff' };
  }
  const owner = ownerOf(presence);
  const reassigned = owner !== ownerOf(session.presence);
  const withdrawn = absence?.cause === 'logoff';
  if (wasEmpty && !reassigned && !withdrawn) return absence;
  if (owner !== 'somebody') return { sinceMs: nowMs, cause: owner };
  if (!wasEmpty || withdrawn) return { sinceMs: nowMs, cause: causeIn(presence) };
  // It has a user again, who is waited for like anybody; one that waits for its first user goes on to.
  return absence === null ? null : { sinceMs: nowMs, cause: 'unused' };
}

/** Those who told when the last one left; all that speak of the desktop when nobody has left since the machine was started. */
export function whoToldLast({ sources }: Presence): readonly string[] {
  const lastMs = Math.max(...sources.map(({ left }) => left?.sinceMs ?? 0));
  return sources.filter(({ left }) => (left?.sinceMs ?? 0) === lastMs).map(({ source }) => source);
}

/** Reasons that say nothing of what the user wanted: of one who was idle, that they had gone before. */
const sayNothing: readonly AbsenceCause[] = ['network', 'agent_lost', 'unknown'];

/** Why the one left who left last. */
function causeIn({ sources }: Presence): AbsenceCause {
  const last = sources.reduce<SourcePresence | null>(
    (latest, one) => (one.left !== null && one.left.sinceMs >= (latest?.left?.sinceMs ?? 0) ? one : latest),
    null,
  );
  const reason = last?.left?.reason ?? 'unknown';
  return last?.activity?.state === 'idle' && sayNothing.includes(reason) ? 'idle' : reason;
}

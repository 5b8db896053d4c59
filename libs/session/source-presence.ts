import { isDeepStrictEqual } from 'node:util';
import type { DesktopEvent, DisconnectReason } from './broker-events';
import { forgetting, openOf, withConnection, withSnapshot, type Connection } from './connections';
import { laterOf, markOf, supersedes, withoutNumber, type Mark } from './mark';
import { counted, knownUpTo, missingGivenUp, noNumbers, type SequenceNumbers } from './sequence-numbers';

/** What one source has told of one desktop. Nothing in it is ever changed by another source. */
export interface SourcePresence {
  /** CloudEvents `source`. */
  readonly source: string;
  /** Names the life of the broker that `numbers` belong to. */
  readonly epoch: string | null;
  /** The time of the first event of this epoch. */
  readonly epochSinceMs: number | null;
  /** Epochs that are over, newest last: their late events must not look like yet another new one. */
  readonly pastEpochs: readonly string[];
  readonly numbers: SequenceNumbers;
  /** What no later connect or disconnect can make good, but a snapshot can. */
  readonly lost: Lost | null;
  readonly connections: readonly Connection[];
  /** The latest time of any of its events, and of its snapshots. */
  readonly latestAtMs: number | null;
  readonly snapshotAtMs: number | null;
  /** What was said last of what the user does. Null: nothing since the machine was there. */
  readonly activity: Activity | null;
  /** How the last of its connections ended. Null: somebody is connected, or nobody was since the machine was there. */
  readonly left: Left | null;
  /** What it said last of whose desktop it is. */
  readonly assignment: Assignment | null;
  /** It is not heard any more. False: it is not, but has told since then who is there. Left out: it is heard. */
  readonly silent?: boolean;
}

export interface Lost {
  /** `epoch`: the broker has begun anew. `gaps`, `connections`: more is missing, or open, than is kept. */
  readonly why: 'epoch' | 'gaps' | 'connections';
  /** A snapshot of this number, or of a later one, makes it good. */
  readonly upTo: number;
}

export interface Activity extends Mark {
  readonly state: 'active' | 'idle' | 'loggedOff';
  /** By our clock. */
  readonly sinceMs: number;
}

export interface Left extends Mark {
  readonly reason: DisconnectReason;
  /** By our clock. */
  readonly sinceMs: number;
}

export interface Assignment extends Mark {
  readonly kind: 'assigned' | 'unassigned' | 'deleted';
  /** Null also when the broker does not say. */
  readonly userRef: string | null;
}

/** What is kept of one source, at most. What does not fit makes its presence uncertain, never wrong. */
export const sourceLimits = { gaps: 64, openConnections: 256, closedConnections: 16, pastEpochs: 8 } as const;

/** When an event is taken, and whether there is a machine that somebody may be connected to. */
export interface Moment {
  readonly nowMs: number;
  readonly hasMachine: boolean;
}

export function newSource(source: string): SourcePresence {
  return {
    source,
    epoch: null,
    epochSinceMs: null,
    pastEpochs: [],
    numbers: noNumbers,
    lost: null,
    connections: [],
    latestAtMs: null,
    snapshotAtMs: null,
    activity: null,
    left: null,
    assignment: null,
  };
}

/** What is known of a source after an event of its own; null when the event was told before, or has been overtaken. */
export function observeSource(known: SourcePresence, event: DesktopEvent, moment: Moment): SourcePresence | null {
  const mark = markOf(event, moment.nowMs);
  const current = inEpoch(known, event.brokerEpoch, mark, moment);
  if (current === null) return null;
  if (event.type === 'vdc.broker.snapshot') return told(current, event.connectionIds, mark, moment);
  if (mark.sequence === null) {
    const news = withNews(current, event, mark, moment);
    return news && withinLimits(news);
  }
  const numbers = counted(current.numbers, mark.sequence);
  if (numbers === null) return null;
  const next = { ...current, numbers };
  // What has overtaken an event that was missing stands; that the event has come is news all the same.
  return withinLimits(withNews(next, event, mark, moment) ?? next);
}

export function isInDoubt({ silent, lost, numbers }: SourcePresence): boolean {
  return silent === true || lost !== null || numbers.missing.length > 0;
}

/** The machine is not there: nobody is connected to it whom nobody knows of, so nothing is waited for any more. */
export function doubtsOver({ silent: _, ...known }: SourcePresence): SourcePresence {
  return { ...known, lost: null, numbers: missingGivenUp(known.numbers, sourceLimits.gaps) };
}

/** A machine is started: what users did when it was there before says nothing of this time. */
export function begunAnew(known: SourcePresence): SourcePresence {
  return { ...known, activity: null, left: null };
}

function inEpoch(
  known: SourcePresence,
  epoch: string | null,
  { atMs }: Mark,
  { hasMachine }: Moment,
): SourcePresence | null {
  if (epoch === null || epoch === known.epoch) return known;
  if (known.pastEpochs.includes(epoch)) return null;
  if (known.epoch === null && known.numbers.last === null) return { ...known, epoch, epochSinceMs: atMs };
  // Of a life before this one, of which nothing had been heard until now.
  if (atMs !== null && known.epochSinceMs !== null && atMs < known.epochSinceMs) return null;
  const { pastEpochs, activity, left, assignment } = known;
  return {
    ...known,
    epoch,
    epochSinceMs: atMs,
    pastEpochs: known.epoch === null ? pastEpochs : [...pastEpochs, known.epoch].slice(-sourceLimits.pastEpochs),
    numbers: noNumbers,
    lost: hasMachine ? { why: 'epoch', upTo: 0 } : null,
    connections: hasMachine ? known.connections.map(withoutNumber) : [],
    activity: activity && withoutNumber(activity),
    left: left && withoutNumber(left),
    assignment: assignment && withoutNumber(assignment),
  };
}

/** After a snapshot. */
function told(
  known: SourcePresence,
  connectionIds: readonly string[],
  mark: Mark,
  { nowMs }: Moment,
): SourcePresence | null {
  const covered = mark.sequence === null ? byTime(known, mark) : byNumber(known, mark.sequence);
  if (covered === null) return null;
  const isCut = connectionIds.length > sourceLimits.openConnections;
  const next: SourcePresence = {
    ...withChanged(
      covered,
      withSnapshot(known.connections, connectionIds, mark),
      { ...mark, reason: 'unknown' },
      nowMs,
    ),
    latestAtMs: laterOf(known.latestAtMs, mark.atMs),
    snapshotAtMs: laterOf(known.snapshotAtMs, mark.atMs),
    ...(isCut && { lost: { why: 'connections', upTo: covered.numbers.last ?? 0 } }),
  };
  const limited = withinLimits(next);
  return mark.sequence !== null && isDeepStrictEqual(limited, known) ? null : limited;
}

/** A snapshot says all that happened up to its number. */
function byNumber(known: SourcePresence, sequence: number): SourcePresence | null {
  const { numbers, lost } = known;
  const isLatest = numbers.last === null || sequence >= numbers.last;
  const mends = lost !== null && sequence >= lost.upTo;
  if (!isLatest && !mends && !numbers.missing.some(([from]) => from <= sequence)) return null;
  return {
    ...(isLatest ? toldInSilence(known) : known),
    numbers: knownUpTo(numbers, sequence),
    lost: mends ? null : lost,
  };
}

/** One without a number says all, unless its time says that it was overtaken. */
function byTime(known: SourcePresence, { atMs }: Mark): SourcePresence | null {
  const { latestAtMs, snapshotAtMs, numbers } = known;
  if (atMs !== null && snapshotAtMs !== null && atMs < snapshotAtMs) return null;
  if (atMs !== null && latestAtMs !== null && atMs < latestAtMs) return known;
  return { ...toldInSilence(known), lost: null, numbers: { last: numbers.last, missing: [], givenUp: [] } };
}

function toldInSilence(known: SourcePresence): SourcePresence {
  return known.silent === true ? { ...known, silent: false } : known;
}

function withNews(known: SourcePresence, event: DesktopEvent, mark: Mark, { nowMs }: Moment): SourcePresence | null {
  const heard = { ...known, latestAtMs: laterOf(known.latestAtMs, mark.atMs) };
  switch (event.type) {
    case 'vdc.session.connected':
    case 'vdc.session.reconnected': {
      const connections = connectionsAfter(known, event.connectionId, true, mark);
      if (connections === null) return null;
      return asActive(withChanged(heard, connections, mark, nowMs), 'active', mark, nowMs);
    }
    case 'vdc.session.disconnected': {
      const connections = connectionsAfter(known, event.connectionId, false, mark);
      return connections && withChanged(heard, connections, { ...mark, reason: event.reason }, nowMs);
    }
    case 'vdc.session.connect_requested':
      return asActive(heard, 'active', mark, nowMs);
    case 'vdc.session.logged_on':
    case 'vdc.session.active':
      return unlessOvertaken(known.activity, mark, () => asActive(heard, 'active', mark, nowMs));
    case 'vdc.session.idle':
      return unlessOvertaken(known.activity, mark, () => asActive(heard, 'idle', mark, nowMs));
    case 'vdc.session.logged_off':
      return unlessOvertaken(known.activity, mark, () => asActive(heard, 'loggedOff', mark, nowMs));
    case 'vdc.desktop.assigned':
    case 'vdc.desktop.unassigned':
    case 'vdc.desktop.deleted':
      return unlessOvertaken(known.assignment, mark, () => ({
        ...heard,
        assignment: { ...mark, ...assignedBy(event) },
      }));
    default:
      throw new Error(`an event that is not read: ${JSON.stringify(event)}`);
  }
}

function assignedBy({ type, userRef }: DesktopEvent): Pick<Assignment, 'kind' | 'userRef'> {
  if (type === 'vdc.desktop.assigned') return { kind: 'assigned', userRef };
  return { kind: type === 'vdc.desktop.deleted' ? 'deleted' : 'unassigned', userRef: null };
}

function unlessOvertaken(known: Mark | null, mark: Mark, news: () => SourcePresence): SourcePresence | null {
  return known === null || supersedes(mark, known) ? news() : null;
}

/** Of one connection; null when a snapshot, or what is known of the connection, happened after it. */
function connectionsAfter(
  { connections, snapshotAtMs }: SourcePresence,
  id: string,
  open: boolean,
  mark: Mark,
): readonly Connection[] | null {
  const { sequence, atMs } = mark;
  if (sequence === null && atMs !== null && snapshotAtMs !== null && atMs < snapshotAtMs) return null;
  return withConnection(connections, id, open, mark);
}

function withChanged(
  known: SourcePresence,
  connections: readonly Connection[],
  how: Mark & { readonly reason?: DisconnectReason },
  nowMs: number,
): SourcePresence {
  const { sequence, atMs, reason = 'unknown' } = how;
  const before = openOf(known.connections).length;
  const after = openOf(connections).length;
  if (after > 0) return { ...known, connections, left: null };
  return { ...known, connections, left: before > 0 ? { reason, sequence, atMs, sinceMs: nowMs } : known.left };
}

/** Keeps since when it is so, when it was so already. */
function asActive(known: SourcePresence, state: Activity['state'], mark: Mark, nowMs: number): SourcePresence {
  const { activity } = known;
  if (activity !== null && !supersedes(mark, activity)) return known;
  const sinceMs = activity?.state === state && state === 'idle' ? activity.sinceMs : nowMs;
  return { ...known, activity: { state, sequence: mark.sequence, atMs: mark.atMs, sinceMs } };
}

function withinLimits(known: SourcePresence): SourcePresence {
  const open = openOf(known.connections);
  if (known.numbers.missing.length > sourceLimits.gaps) return withinLimits(lostBecause('gaps', known));
  if (open.length > sourceLimits.openConnections) {
    const kept = new Set(open.slice(0, sourceLimits.openConnections));
    const connections = known.connections.filter((one) => !one.open || kept.has(one.id));
    return withinLimits(lostBecause('connections', { ...known, connections }));
  }
  const connections = forgetting(known.connections, sourceLimits.closedConnections);
  if (connections.length === known.connections.length) return known;
  // A connect that is missing may be one of a connection that is no longer known to be closed.
  const next = { ...known, connections };
  return known.numbers.missing.length > 0 ? lostBecause('gaps', next) : withoutLateNumbers(next);
}

function lostBecause(why: Lost['why'], known: SourcePresence): SourcePresence {
  return withoutLateNumbers({ ...known, lost: { why, upTo: known.numbers.last ?? 0 } });
}

function withoutLateNumbers(known: SourcePresence): SourcePresence {
  return { ...known, numbers: { last: known.numbers.last, missing: [], givenUp: [] } };
}

import { isDeepStrictEqual } from 'node:util';
import type { DesktopEvent } from './broker-events';

/**
 * Who is connected to a desktop, as far as the broker's events tell.
 *
 * `connections` is certain up to `sequence`. An event that arrives before its forerunners waits in `ahead`; while one
 * waits, presence is UNKNOWN, and the late forerunners make it certain again. When what is missing never comes (more
 * than `mostAhead` wait, or a new broker epoch has begun) `complete` turns false, and only a snapshot mends that: no
 * later connect or disconnect can prove that nobody else is there.
 */
export interface Presence {
  readonly connections: readonly string[];
  readonly brokerEpoch: string | null;
  readonly sequence: number | null;
  readonly ahead: readonly SequencedChange[];
  readonly complete: boolean;
  /** Epochs that are over, newest last: their late events must not look like yet another new epoch. */
  readonly pastEpochs: readonly string[];
  /**
   * Its broker has fallen silent: somebody may have come of whom nobody has told. False: it is silent, but has told since then who is
   * there. Left out: it is heard.
   */
  readonly silent?: boolean;
}

export interface SequencedChange {
  readonly sequence: number;
  readonly opened?: string;
  readonly closed?: string;
}

export type Occupancy = 'present' | 'empty' | 'unknown';

const mostAhead = 64;
const mostPastEpochs = 8;

/** A desktop that has never run: nobody can be connected to it. */
export const nobody: Presence = {
  connections: [],
  brokerEpoch: null,
  sequence: null,
  ahead: [],
  complete: true,
  pastEpochs: [],
};

export function occupancy(presence: Presence): Occupancy {
  if (presence.silent === true || !presence.complete || presence.ahead.length > 0) return 'unknown';
  return presence.connections.length > 0 ? 'present' : 'empty';
}

/** The connections as far as known: with all that arrived, whatever may be missing in between. */
export function visibleConnections(presence: Presence): readonly string[] {
  return presence.ahead.reduce(change, presence.connections);
}

export function inSilence(presence: Presence): Presence {
  return { ...presence, silent: true };
}

export function heardAgain({ silent: _, ...told }: Presence): Presence {
  return told;
}

/** Presence after an event, or null when the event is stale: told before, or overtaken by what is known. */
export function observe(presence: Presence, event: DesktopEvent): Presence | null {
  if (event.brokerEpoch !== null && presence.pastEpochs.includes(event.brokerEpoch)) return null;
  const current = inEpoch(presence, event.brokerEpoch);
  if (event.type === 'vdc.broker.snapshot') return replaced(current, event.connectionIds, event.sequence);
  if (event.sequence === null) return { ...current, connections: change(current.connections, changeOf(event)) };
  return inSequence(current, { sequence: event.sequence, ...changeOf(event) });
}

function changeOf(event: DesktopEvent): Omit<SequencedChange, 'sequence'> {
  switch (event.type) {
    case 'vdc.session.connected':
    case 'vdc.session.reconnected':
      return { opened: event.connectionId };
    case 'vdc.session.disconnected':
      return { closed: event.connectionId };
    default:
      return {};
  }
}

function change(connections: readonly string[], { opened, closed }: Partial<SequencedChange>): readonly string[] {
  if (opened !== undefined) return connections.includes(opened) ? connections : [...connections, opened].sort();
  if (closed !== undefined) return connections.filter((id) => id !== closed);
  return connections;
}

function inEpoch(presence: Presence, epoch: string | null): Presence {
  if (epoch === null || epoch === presence.brokerEpoch) return presence;
  if (presence.brokerEpoch === null) return { ...presence, brokerEpoch: epoch };
  return {
    connections: visibleConnections(presence),
    brokerEpoch: epoch,
    sequence: null,
    ahead: [],
    complete: false,
    pastEpochs: [...presence.pastEpochs, presence.brokerEpoch].slice(-mostPastEpochs),
    ...(presence.silent !== undefined && { silent: presence.silent }),
  };
}

function replaced(presence: Presence, connectionIds: readonly string[], sequence: number | null): Presence | null {
  const last = presence.sequence;
  // A snapshot taken at the last event we know still says more than we know when something is missing.
  if (sequence !== null && last !== null && sequence < last) return null;
  const snapshot: Presence = {
    ...presence,
    ...(presence.silent === true && { silent: false }),
    connections: [...new Set(connectionIds)].sort(),
    sequence: sequence ?? last,
    complete: true,
    ahead: sequence === null ? [] : presence.ahead.filter((waiting) => waiting.sequence > sequence),
  };
  const mended = caughtUp(snapshot);
  return sequence !== null && isDeepStrictEqual(mended, presence) ? null : mended;
}

function inSequence(presence: Presence, next: SequencedChange): Presence | null {
  const { sequence: last, ahead } = presence;
  if (last === null) return { ...presence, sequence: next.sequence, connections: change(presence.connections, next) };
  if (next.sequence <= last || ahead.some((waiting) => waiting.sequence === next.sequence)) return null;
  const waiting = [...ahead, next].sort((one, other) => one.sequence - other.sequence);
  return withinPatience(caughtUp({ ...presence, ahead: waiting }));
}

/** Takes what waits for as long as nothing is missing before it. */
function caughtUp(presence: Presence): Presence {
  let { connections, sequence } = presence;
  let taken = 0;
  for (const waiting of presence.ahead) {
    if (sequence !== null && waiting.sequence !== sequence + 1) break;
    connections = change(connections, waiting);
    sequence = waiting.sequence;
    taken += 1;
  }
  return { ...presence, connections, sequence, ahead: presence.ahead.slice(taken) };
}

function withinPatience(presence: Presence): Presence {
  if (presence.ahead.length <= mostAhead) return presence;
  return {
    ...presence,
    connections: visibleConnections(presence),
    sequence: presence.ahead.at(-1)!.sequence,
    ahead: [],
    complete: false,
  };
}

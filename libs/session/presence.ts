import type { DesktopEvent } from './broker-events';
import { openOf } from './connections';
import {
  begunAnew,
  doubtsOver,
  isInDoubt,
  newSource,
  observeSource,
  type Moment,
  type SourcePresence,
} from './source-presence';

/**
 * Who is connected to a desktop, as far as is told: the union of what each source says. A source moves nothing but its own part,
 * so that its numbers, its new lives and its mistakes are nobody else's.
 */
export interface Presence {
  /** By name. */
  readonly sources: readonly SourcePresence[];
}

export const occupancies = ['present', 'empty', 'unknown'] as const;
export type Occupancy = (typeof occupancies)[number];

/** Of nobody's. */
export const nobody: Presence = { sources: [] };

/** So many sources speak of a desktop before those that have nothing to say are forgotten. */
const mostSources = 16;

/** One that is certain of somebody suffices; that nobody is there takes all of them. */
export function occupancy({ sources }: Presence): Occupancy {
  if (sources.some((one) => !isInDoubt(one) && openOf(one.connections).length > 0)) return 'present';
  return sources.some(isInDoubt) ? 'unknown' : 'empty';
}

/**
 * Whether somebody may be there. All who ask before a desktop is put away, and all who ask whether it is to be woken, ask this:
 * a doubt speaks for its user both times.
 */
export function mayBePresent(presence: Presence): boolean {
  return occupancy(presence) !== 'empty';
}

/** The connections as far as known, whatever may be missing. */
export function visibleConnections({ sources }: Presence): readonly string[] {
  return [...new Set(sources.flatMap(({ connections }) => openOf(connections)))].sort();
}

export function partOf({ sources }: Presence, source: string): SourcePresence | null {
  return sources.find((one) => one.source === source) ?? null;
}

/** Presence after an event, or null when the event is stale: told before, or overtaken by what is known. */
export function observe(presence: Presence, event: DesktopEvent, moment: Moment): Presence | null {
  const { source } = event;
  const part = observeSource(partOf(presence, source) ?? newSource(source), event, moment);
  return part && withPart(presence, part);
}

/** False when it was so before, or when the source has never spoken of this desktop. */
export function withSilence(presence: Presence, source: string, isSilent: boolean): Presence | null {
  const part = partOf(presence, source);
  if (part === null || (part.silent !== undefined) === isSilent) return null;
  const { silent: _, ...heard } = part;
  return withPart(presence, isSilent ? { ...heard, silent: true } : heard);
}

/** Nothing that it has said counts any more; null when it has never spoken of this desktop. */
export function withoutSource({ sources }: Presence, source: string): Presence | null {
  const others = sources.filter((one) => one.source !== source);
  return others.length === sources.length ? null : { sources: others };
}

/** Its machine is not there: whatever was in doubt, nobody is connected. Who was is still known, and may want it back. */
export function withoutDoubts({ sources }: Presence): Presence {
  return { sources: sources.map(doubtsOver) };
}

export function withMachineAnew({ sources }: Presence): Presence {
  return { sources: sources.map(begunAnew) };
}

function withPart({ sources }: Presence, part: SourcePresence): Presence {
  const others = sources.filter(({ source }) => source !== part.source);
  const kept = others.length < mostSources ? others : others.filter(saysSomething);
  return { sources: [...kept, part].sort((one, other) => (one.source < other.source ? -1 : 1)) };
}

function saysSomething(part: SourcePresence): boolean {
  return isInDoubt(part) || openOf(part.connections).length > 0 || part.assignment?.kind === 'assigned';
}

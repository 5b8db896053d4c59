import type { DesktopEvent } from './broker-events';

/** Where something that a source said stands in the order in which it happened, as far as the source tells. */
export interface Mark {
  /** Within the source's current epoch. */
  readonly sequence: number | null;
  /** By the source's own clock, epoch ms. */
  readonly atMs: number | null;
}

/** A time that lies further ahead of our clock comes from a clock that is wrong: it would overrule all that follows. */
const furthestAheadMs = 5 * 60_000;

export function markOf({ sequence, occurredAt }: DesktopEvent, nowMs: number): Mark {
  const atMs = occurredAt === null ? NaN : Date.parse(occurredAt);
  return { sequence, atMs: Number.isNaN(atMs) || atMs > nowMs + furthestAheadMs ? null : atMs };
}

/** Numbers order what has them; else times do; else what arrives later happened later. */
export function supersedes(next: Mark, known: Mark): boolean {
  if (next.sequence !== null && known.sequence !== null) return next.sequence >= known.sequence;
  return next.atMs === null || known.atMs === null || next.atMs >= known.atMs;
}

/** The numbers of another epoch say nothing in this one. */
export function withoutNumber<M extends Mark>(marked: M): M {
  return { ...marked, sequence: null };
}

export function laterOf(one: number | null, other: number | null): number | null {
  return one === null || other === null ? (one ?? other) : Math.max(one, other);
}

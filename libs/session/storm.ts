import { createHash } from 'node:crypto';
import { whoToldLast } from './attendance';
import type { StormPolicy } from './pool-policy';
import type { Session } from './session';

export const stormCauses = ['many_left', 'broker_started'] as const;

/** Many have left a pool at once, or may have. Times are epoch ms. */
export interface Storm {
  /** Only users of this broker; null: all of the pool. */
  readonly broker: string | null;
  readonly cause: (typeof stormCauses)[number];
  readonly left: number;
  /** Those who had a user before, the ones that left among them. */
  readonly inUse: number;
  /** Whoever left between these two is concerned. */
  readonly fromMs: number;
  readonly untilMs: number;
  /** They are released one after the other from `untilMs` on, over this time. */
  readonly spreadMs: number;
}

export interface Tally {
  readonly broker: string | null;
  readonly left: number;
  readonly inUse: number;
}

/** The storm that a tally amounts to, unless it is none, or one that is there already. */
export function stormIn(policy: StormPolicy, tally: Tally, known: readonly Storm[], nowMs: number): Storm | null {
  const { left, inUse } = tally;
  if (left < policy.atLeast || left * 100 <= inUse * policy.percent) return null;
  return storm(policy, { ...tally, cause: 'many_left' }, known, nowMs);
}

/** A broker that begins anew has lost its sessions, or says again who is there: either way many may seem to leave. */
export function stormOfRestart(
  policy: StormPolicy,
  tally: Tally,
  known: readonly Storm[],
  nowMs: number,
): Storm | null {
  return storm(policy, { ...tally, cause: 'broker_started' }, known, nowMs);
}

function storm(
  policy: StormPolicy,
  about: Tally & Pick<Storm, 'cause'>,
  known: readonly Storm[],
  nowMs: number,
): Storm | null {
  if (known.some((one) => (one.broker === null || one.broker === about.broker) && nowMs <= one.untilMs)) return null;
  return {
    ...about,
    fromMs: nowMs - policy.withinMs,
    untilMs: nowMs + policy.graceMs,
    // Of all that were in use: how many will have left in the end is not known when the first ones have.
    spreadMs: Math.ceil((about.inUse * 60_000) / policy.perMinute),
  };
}

/** Nothing waits for it any more. */
export function isOver({ untilMs, spreadMs }: Storm, nowMs: number): boolean {
  return nowMs > untilMs + spreadMs;
}

/**
 * When the storms let a desktop go whose user left in one; null when none concerns it. The moment depends on its id alone, so
 * that whoever computes it comes to the same, and desktops come one by one instead of all at once.
 */
export function releasedAt(
  storms: readonly Storm[],
  { desktopId, presence, absence }: Pick<Session, 'desktopId' | 'presence' | 'absence'>,
): number | null {
  if (storms.length === 0 || absence === null) return null;
  const told = whoToldLast(presence);
  const releases = storms
    .filter(({ broker }) => broker === null || told.includes(broker))
    .filter(({ fromMs, untilMs }) => absence.sinceMs >= fromMs && absence.sinceMs <= untilMs)
    .map(({ untilMs, spreadMs }) => untilMs + Math.floor(placeOf(desktopId) * spreadMs));
  return releases.length === 0 ? null : Math.max(...releases);
}

/** From 0 to below 1, evenly over many desktops. */
function placeOf(desktopId: string): number {
  return createHash('sha256').update(desktopId).digest().readUInt32BE(0) / 2 ** 32;
}

import { periodsFrom } from './schedule';
import type { GraceTerms, Phase, PoolPolicy } from './pool-policy';
import { occupancy } from './presence';
import type { Absence, AbsenceCause, Session } from './session';
import { releasedAt, type Storm } from './storm';

/** What of a pool bears on its desktops: what it wants, and what happens to it. */
export interface Pool {
  readonly policy: PoolPolicy;
  readonly storms: readonly Storm[];
}

/** What a desktop that runs still waits for, though nobody is there. */
export type Wait = 'grace' | 'settling' | 'residency' | 'storm' | 'hold';

/** What becomes of a desktop that nobody uses. */
export interface Plan {
  readonly action: 'save' | 'stop';
  readonly atMs: number;
  /** Of all that is waited for, what takes longest. */
  readonly wait: Wait;
}

/**
 * What is to be done with a desktop that runs, and when; null when it is to run on: somebody is or may be there, it waits for
 * its first user, or its pool puts nothing to sleep.
 */
export function planFor(session: Session, pool: Pool): Plan | null {
  const { absence, presence } = session;
  if (absence === null || occupancy(presence) !== 'empty') return null;
  const { policy } = pool;
  const loggedOff = absence.cause === 'logoff' && policy.logoff !== undefined;
  if (loggedOff && policy.logoff.action === 'power-off') return latest('stop', waitsForLogoff(session, policy));
  if (policy.neverSave === true) return null;
  // Who has logged off has gone for certain, also in a storm.
  if (loggedOff) return latest('save', waitsForLogoff(session, policy));
  return latest('save', [
    { wait: 'grace', atMs: graceEnd(policy, absence) },
    ...waitsForLogoff(session, policy),
    ...awaited('residency', session.wokeAtMs === null ? null : session.wokeAtMs + (policy.minResidencyMs ?? 0)),
    ...awaited('storm', releasedAt(pool.storms, session)),
  ]);
}

interface Awaited {
  readonly wait: Wait;
  readonly atMs: number;
}

function waitsForLogoff({ absence, heldUntilMs }: Session, { logoff }: PoolPolicy): Awaited[] {
  const settled = absence === null || logoff === undefined ? null : absence.sinceMs + logoff.settleMs;
  return [...awaited('settling', settled), ...awaited('hold', heldUntilMs)];
}

function awaited(wait: Wait, atMs: number | null): Awaited[] {
  return atMs === null ? [] : [{ wait, atMs }];
}

function latest(action: Plan['action'], waits: readonly Awaited[]): Plan {
  return { action, ...waits.reduce((last, one) => (one.atMs > last.atMs ? one : last)) };
}

/**
 * When the grace of an absence is over. The phase that holds decides, also over an absence that began in another one: who left
 * in the afternoon, when graces are long, is put to sleep when the night with its short ones begins.
 */
export function graceEnd(policy: PoolPolicy, { sinceMs, cause }: Absence): number {
  const { schedule } = policy;
  if (schedule === undefined) return sinceMs + graceIn(policy, null, cause);
  const periods = periodsFrom(schedule, sinceMs);
  for (;;) {
    const { phase, fromMs, untilMs } = periods.next().value;
    const endMs = Math.max(fromMs, sinceMs + graceIn(policy, phase, cause));
    if (endMs < untilMs) return endMs;
  }
}

function graceIn(policy: PoolPolicy, phase: Phase | null, cause: AbsenceCause): number {
  const ofPhase = graceFor(phase, cause);
  const ofPool = graceFor(policy, cause);
  // Without a user nobody can come back who would have to be waited for.
  if (cause === 'unassigned' || cause === 'deleted') return ofPhase ?? ofPool ?? 0;
  return ofPhase ?? phase?.graceMs ?? ofPool ?? policy.graceMs;
}

function graceFor(terms: GraceTerms | null, cause: AbsenceCause): number | undefined {
  return cause === 'logoff' ? undefined : terms?.graceMsByReason?.[cause];
}

import type { OpenStatus, OperationKind, OperationPhase } from './operations';

/** What an operation took that has succeeded. */
export interface Taken {
  /** From the request to the guest's answer; null when the kind brings up none. */
  readonly readyMs: number | null;
  /** The work itself: of a save until the memory is stored, of a restore from the guest's answer until all of its memory is there. */
  readonly workMs: number;
  /** Of memory that were moved; null when none were. */
  readonly bytes: number | null;
}

/** How far an open operation is. Times are epoch ms. */
export interface Standing {
  readonly kind: OperationKind;
  readonly phase: OperationPhase;
  readonly status: OpenStatus;
  readonly createdAtMs: number;
  readonly startedAtMs: number | null;
  readonly phaseSinceMs: number;
  /** Null before it is known. */
  readonly bytes: { readonly done: number; readonly total: number } | null;
}

export interface Eta {
  /** Until the desktop answers: 0 when it does; null when the operation brings up none, or when nothing is known. */
  readonly readyMs: number | null;
  /** Until the work is done; of one that no worker has taken, counted from when one does. Null when nothing is known. */
  readonly doneMs: number | null;
}

/** Of several that were alike, what the quickest and the slowest took. */
export interface Spread {
  readonly leastMs: number;
  readonly mostMs: number;
}

export function spreadOf(earlier: readonly Taken[]): Spread | null {
  if (earlier.length === 0) return null;
  const all = earlier.map(({ workMs }) => Math.round(workMs));
  return { leastMs: Math.min(...all), mostMs: Math.max(...all) };
}

/** The phase of each kind in which memory is moved. */
const moving: Partial<Record<OperationKind, OperationPhase>> = { save: 'capture', restore: 'hydrate' };

/** Of less than this the pace says nothing by itself. */
const leastShare = 0.01;

/**
 * What is still to come, as the earlier ones let expect: the median of what they took, for as many bytes. Once bytes are on their way
 * the pace of this one counts too, and for more the further it is: done × its own pace + (1 − done) × the learned one.
 */
export function etaOf(standing: Standing, earlier: readonly Taken[], nowMs: number): Eta {
  return { readyMs: untilReady(standing, earlier, nowMs), doneMs: untilDone(standing, earlier, nowMs) };
}

function untilReady({ kind, phase, createdAtMs }: Standing, earlier: readonly Taken[], nowMs: number): number | null {
  if (kind !== 'boot' && kind !== 'restore') return null;
  if (phase === 'hydrate') return 0;
  const learnedMs = median(earlier.flatMap(({ readyMs }) => (readyMs === null ? [] : [readyMs])));
  return learnedMs === null ? null : rest(learnedMs, nowMs - createdAtMs);
}

function untilDone(standing: Standing, earlier: readonly Taken[], nowMs: number): number | null {
  const { kind, phase, startedAtMs, phaseSinceMs, bytes } = standing;
  const learnedMs = median(earlier.map((one) => forAsMany(one, bytes?.total ?? null)));
  if (phase === moving[kind] && bytes !== null && bytes.done > 0)
    return atThisPace(bytes, nowMs - phaseSinceMs, learnedMs);
  if (learnedMs === null) return null;
  if (kind === 'restore')
    return phase === 'hydrate'
      ? rest(learnedMs, nowMs - phaseSinceMs)
      : addedTo(untilReady(standing, earlier, nowMs), learnedMs);
  return rest(learnedMs, startedAtMs === null ? 0 : nowMs - startedAtMs);
}

function atThisPace(
  { done, total }: { done: number; total: number },
  tookMs: number,
  learnedMs: number | null,
): number | null {
  const share = Math.min(1, done / total);
  if (learnedMs === null && share < leastShare) return null;
  const ownMs = (tookMs * (1 - share)) / share;
  return Math.round(learnedMs === null ? ownMs : share * ownMs + (1 - share) * (1 - share) * learnedMs);
}

/** A machine of twice the memory takes twice as long. */
function forAsMany({ workMs, bytes }: Taken, total: number | null): number {
  return bytes === null || bytes === 0 || total === null ? workMs : (workMs * total) / bytes;
}

function addedTo(readyMs: number | null, learnedMs: number): number | null {
  return readyMs === null ? null : readyMs + Math.round(learnedMs);
}

function rest(learnedMs: number, tookMs: number): number {
  return Math.max(0, Math.round(learnedMs - tookMs));
}

function median(values: readonly number[]): number | null {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return null;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

import type { PoolPolicy } from './pool-policy';

/** What is known of a durable checkpoint that bears on whether it stays. Times are epoch ms. */
export interface CheckpointStanding {
  readonly id: string;
  readonly durableAtMs: number;
  /** When a desktop was last woken from it to the last page; null when that never was. */
  readonly restoredAtMs: number | null;
  readonly pinned: boolean;
  /** The desktop's own: it sleeps in this one, or has gone on from it. */
  readonly current: boolean;
  /** A restore of it is under way. */
  readonly waking: boolean;
}

/** Why a checkpoint stays; one may have several reasons. */
export const keepReasons = ['current', 'waking', 'pinned', 'newest', 'young', 'last-restored'] as const;
export type KeepReason = (typeof keepReasons)[number];

export type RetentionPolicy = Pick<PoolPolicy, 'keepCheckpoints' | 'keepCheckpointsForMs'>;

/**
 * The retention rule. A checkpoint without a reason is to be condemned. `last-restored` is the one woken last of all: a
 * newer one may be beyond waking, and nobody knows before it was tried.
 * @param checkpoints all durable ones of one desktop, in any order
 */
export function reasonsToKeep(
  checkpoints: readonly CheckpointStanding[],
  { keepCheckpoints, keepCheckpointsForMs = 0 }: RetentionPolicy,
  nowMs: number,
): ReadonlyMap<string, readonly KeepReason[]> {
  const newestFirst = [...checkpoints].sort(newerFirst);
  const newest = new Set(newestFirst.slice(0, keepCheckpoints));
  const lastRestored = newestFirst.reduce<CheckpointStanding | null>(
    (last, one) => (one.restoredAtMs !== null && one.restoredAtMs > (last?.restoredAtMs ?? -Infinity) ? one : last),
    null,
  );
  const holds: Record<KeepReason, (one: CheckpointStanding) => boolean> = {
    current: ({ current }) => current,
    waking: ({ waking }) => waking,
    pinned: ({ pinned }) => pinned,
    newest: (one) => newest.has(one),
    young: ({ durableAtMs }) => nowMs - durableAtMs < keepCheckpointsForMs,
    'last-restored': (one) => one === lastRestored,
  };
  return new Map(newestFirst.map((one) => [one.id, keepReasons.filter((reason) => holds[reason](one))]));
}

/** Those that nothing keeps any more. @returns their ids, newest first */
export function toCondemn(
  checkpoints: readonly CheckpointStanding[],
  policy: RetentionPolicy,
  nowMs: number,
): readonly string[] {
  return [...reasonsToKeep(checkpoints, policy, nowMs)].filter(([, reasons]) => reasons.length === 0).map(([id]) => id);
}

/** Ids decide between equals, so that the answer never depends on the order in which a database lists them. */
function newerFirst(a: CheckpointStanding, b: CheckpointStanding): number {
  if (a.durableAtMs !== b.durableAtMs) return b.durableAtMs - a.durableAtMs;
  return a.id < b.id ? -1 : 1;
}

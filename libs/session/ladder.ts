import type { ErrorCode } from '@dormouse/errors';
import type { Consent, PoolPolicy } from './pool-policy';
import type { Session, SessionEvent } from './session';

/** A step that can be taken. */
export interface Rung {
  readonly to: Consent;
  /** What is woken; null when nothing is. */
  readonly checkpointId: string | null;
  /** Memory and disk, or the disk alone, are as they were then (epoch ms); null when that is not known. */
  readonly asOfMs: number | null;
  /** Was taken, and has led to nothing. */
  readonly failed: boolean;
}

/** A durable checkpoint of the desktop. */
export interface Resort {
  readonly id: string;
  readonly durableAtMs: number;
  /** Wakes of it that have failed. */
  readonly failures: number;
}

/** Restores that may fail in a row before an operator is asked. */
export const mostRestoreFailures = 3;

/** Errors that trying again cannot mend. */
export const hopelessRestores: readonly ErrorCode[] = [
  'CHECKPOINT_CORRUPT',
  'CHECKPOINT_INCOMPLETE',
  'CHECKPOINT_KEY_MISMATCH',
  'DISK_SOURCE_CHANGED',
  'FORMAT_UNSUPPORTED',
  'KEY_MISSING',
];

/** Errors that say nothing about the checkpoint: what failed comes back, and it is tried again. */
export const passingRestores: readonly ErrorCode[] = [
  'STORAGE_FAILED',
  'KEY_UNAVAILABLE',
  'DISKS_FULL',
  'DISK_LAYER_FAILED',
  'IMAGE_CHANGED',
];

/** What a desktop has left besides its memory. */
export interface Resorts {
  /** Its checkpoint. */
  readonly own: Resort | null;
  readonly older: readonly Resort[];
  /** Its disk is another than that of its checkpoint: a guest has written to it since. */
  readonly diskWentOn?: boolean;
  /** Boots from its disk alone that have failed. */
  readonly coldBootFailures: number;
}

/**
 * What can be done with a desktop that is `restore-blocked`, the step that loses least first: its own checkpoint, unless that is
 * damaged or has failed too often; the newest one before it that has not failed; its disk alone.
 */
export function rungsOf(
  { machine, lastError }: Pick<Session, 'machine' | 'lastError'>,
  { own, older, diskWentOn = false, coldBootFailures }: Resorts,
): readonly Rung[] {
  if (machine !== 'restore-blocked') return [];
  const isHopeless = lastError !== null && hopelessRestores.includes(lastError.code);
  const again = own !== null && !isHopeless && own.failures < mostRestoreFailures ? [own] : [];
  const [before] = older
    .filter(({ failures }) => failures === 0)
    .sort((one, other) => other.durableAtMs - one.durableAtMs);
  return [
    ...again.map((resort) => wakes('own-checkpoint', resort)),
    ...(before === undefined ? [] : [wakes('older-checkpoint', before)]),
    {
      to: 'cold-boot',
      checkpointId: null,
      asOfMs: diskWentOn ? null : (own?.durableAtMs ?? null),
      failed: coldBootFailures > 0,
    },
  ];
}

function wakes(to: Consent, { id, durableAtMs }: Resort): Rung {
  return { to, checkpointId: id, asOfMs: durableAtMs, failed: false };
}

/**
 * The step that the pool has consented to beforehand: never one that loses more while one that loses less is left, and none that
 * was tried in vain.
 */
export function consentedRung([next]: readonly Rung[], { consents: given = [] }: PoolPolicy): Rung | null {
  return next !== undefined && !next.failed && given.includes(next.to) ? next : null;
}

/** What is asked for when a step is taken. */
export function requestOf(
  { to, checkpointId }: Rung,
  who: { readonly reason: string; readonly requestedBy: string },
): SessionEvent & { type: 'request' } {
  if (checkpointId === null) return { type: 'request', ...who, kind: 'boot', fromDiskAlone: true };
  const checkpoint = { id: checkpointId, current: to === 'own-checkpoint' };
  return { type: 'request', ...who, kind: 'restore', checkpoint };
}

import type { JobsOptions } from 'bullmq';
import type { JobName } from '@dormouse/ledger';

/**
 * Every job: whose queue it goes through and how often it is tried when its handler throws. A handler throws only for
 * what is not its business (database or Redis away); a failed phase is a decision of the ledger, and the job is done.
 * Finished and failed jobs leave Redis at once: a kept one would swallow every later add under its id.
 */
const persistent = { attempts: 5, backoff: { type: 'exponential', delay: 500 } } as const;

export const jobTable = {
  register: { queue: 'host', ...persistent },
  boot: { queue: 'host', ...persistent },
  save: { queue: 'background', ...persistent },
  restore: { queue: 'host', ...persistent },
  stop: { queue: 'host', ...persistent },
  forget: { queue: 'background', ...persistent },
  grace: { queue: 'session', ...persistent },
} as const satisfies Record<JobName, { queue: QueueKind; attempts: number; backoff: JobsOptions['backoff'] }>;

/** `host`: somebody waits for it. `background`: nobody does. Both of one host; `session` of none. */
export type QueueKind = 'host' | 'background' | 'session';

export type JobNameOf<Kind extends QueueKind> = {
  [Name in JobName]: (typeof jobTable)[Name]['queue'] extends Kind ? Name : never;
}[JobName];

export const jobNames = Object.keys(jobTable) as readonly JobName[];

export function jobOptions(
  name: JobName,
): Pick<JobsOptions, 'attempts' | 'backoff' | 'removeOnComplete' | 'removeOnFail'> {
  const { attempts, backoff } = jobTable[name];
  return { attempts, backoff, removeOnComplete: true, removeOnFail: true };
}

/**
 * Times of the consumers. A worker that was killed has its job seen again after at most lockDuration +
 * stalledInterval; the ledger's lease then decides whether it may be taken. A stalled job is not a fault of the job,
 * so it may stall often: losing it would leave the desktop to the reconciler's slower sweep.
 */
export const consumerTimes = {
  lockDurationMs: 15_000,
  stalledIntervalMs: 5_000,
  maxStalledCount: 10,
  /** After this Redis is asked again whether it is time: BullMQ reckons a pause by a clock that may have been set back. */
  longestPauseMs: 1_000,
} as const;

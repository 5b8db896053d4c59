import type { OperationKind } from '@dormouse/session';

/** A piece of work in a queue: an operation, the end of a grace, or the clearing away of a deleted desktop. */
export type JobName = OperationKind | 'grace' | 'forget';

/** The queue of decisions that need no host. */
export const sessionQueue = 'session';

/** The queue of one host's work that somebody waits for. */
export function hostQueue(hostId: string): string {
  return `host.${hostId}`;
}

/**
 * The queue of one host's work that nobody waits for. Apart from the other, because a queue whose first job finds no free slot
 * stands still for a moment: saves must not make a user stand still with them.
 */
export function backgroundQueue(hostId: string): string {
  return `host.${hostId}.background`;
}

/** Which of the two a job goes through. */
export function queueOf(name: Exclude<JobName, 'grace'>, hostId: string): string {
  return name === 'save' || name === 'forget' ? backgroundQueue(hostId) : hostQueue(hostId);
}

/** Names one job for ever: BullMQ drops a second add under the same id, so a repeated dispatch is harmless. */
export function jobIdOf(name: JobName, desktopId: string, generation: number): string {
  return `${name}-${desktopId}-${generation}`;
}

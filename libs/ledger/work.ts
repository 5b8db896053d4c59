import type { OperationKind } from '@dormouse/session';

/** A piece of work in a queue: an operation, the end of a grace, or the clearing away of a deleted desktop. */
export type JobName = OperationKind | 'grace' | 'forget';

/** The queue of decisions that need no host. */
export const sessionQueue = 'session';

/** The queue of one host's work. */
export function hostQueue(hostId: string): string {
  return `host.${hostId}`;
}

/** Names one job for ever: BullMQ drops a second add under the same id, so a repeated dispatch is harmless. */
export function jobIdOf(name: JobName, desktopId: string, generation: number): string {
  return `${name}-${desktopId}-${generation}`;
}

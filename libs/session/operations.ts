/**
 * The kinds of operation and their phases, in order. A phase of `guarded` is entered only by a decision of its own
 * (the presence is read again, or the guest has run); all others are reported by the worker as it goes.
 */
export const operationKinds = {
  register: { phases: ['examine'], guarded: [] },
  boot: { phases: ['boot', 'answer'], guarded: [] },
  save: {
    phases: ['queued', 'capture', 'switchover', 'commit', 'linger', 'release'],
    guarded: ['switchover', 'linger', 'release'],
  },
  restore: { phases: ['place', 'wake', 'hydrate'], guarded: ['hydrate'] },
  stop: { phases: ['stop'], guarded: [] },
} as const;

export type OperationKind = keyof typeof operationKinds;
export type OperationPhase = (typeof operationKinds)[OperationKind]['phases'][number];
export const operationPhases: readonly OperationPhase[] = Object.values(operationKinds).flatMap(({ phases }) => phases);

export const openStatuses = ['pending', 'active'] as const;
export const endedStatuses = ['succeeded', 'failed', 'cancelled', 'superseded'] as const;
export type OpenStatus = (typeof openStatuses)[number];
export type EndedStatus = (typeof endedStatuses)[number];
export type OperationStatus = OpenStatus | EndedStatus;

/** How a worker may end its operation; `superseded`, by what a logoff leads to, is only ever said by the ledger. */
export type FinishStatus = Exclude<EndedStatus, 'superseded'>;

export const operationKindNames = Object.keys(operationKinds) as readonly OperationKind[];

export function firstPhase(kind: OperationKind): OperationPhase {
  return operationKinds[kind].phases[0];
}

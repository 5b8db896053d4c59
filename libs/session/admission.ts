import type { OperationKind, OperationPhase } from './operations';
import { policyActor } from './session';

/** The order in which work is admitted; lower is sooner, and BullMQ takes these numbers as its priorities (1 and up). */
export const admission = {
  'a waiting user': 1,
  'somebody who asked': 2,
  'a save that was asked for': 3,
  'a save on disconnect': 4,
  'clearing away': 5,
} as const;

export function admissionOf({
  kind,
  forced,
  awaited,
  requestedBy,
}: {
  kind: OperationKind;
  forced: boolean;
  awaited: boolean;
  requestedBy: string;
}): number {
  if (kind === 'save') {
    return admission[forced || requestedBy !== policyActor ? 'a save that was asked for' : 'a save on disconnect'];
  }
  return admission[awaited ? 'a waiting user' : 'somebody who asked'];
}

/**
 * What an operation takes a slot of, of its host and of the storage. Wakes and saves have slots of their own, so that no number of
 * saves makes a user wait. Null: it may always go on. A guest that runs cannot be made to wait for its memory, one that
 * boots takes its own time to answer, and a stop gives back more than it takes.
 */
export type SlotKind = 'wake' | 'save';

export function slotOf({ kind, phase }: { kind: OperationKind; phase: OperationPhase }): SlotKind | null {
  switch (kind) {
    case 'register':
      return 'wake';
    case 'boot':
      return phase === 'answer' ? null : 'wake';
    case 'restore':
      return phase === 'hydrate' ? null : 'wake';
    case 'save':
      // Stored already: what is left gives memory back, or gives the guest back to a user who has come again.
      return phase === 'linger' || phase === 'release' ? null : 'save';
    case 'stop':
      return null;
  }
}

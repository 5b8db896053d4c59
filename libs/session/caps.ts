import { slotOf, type SlotKind } from './admission';
import { machineStates } from './machine-states';
import type { OperationKind, OperationPhase } from './operations';
import type { CapName } from './pool-policy';
import type { Session } from './session';

const capOfSlot: Readonly<Record<SlotKind, CapName>> = { wake: 'waking', save: 'saving' };

/** What of its pool's caps an operation needs before it begins. */
export function capsNeeded(operation: { kind: OperationKind; phase: OperationPhase }): readonly CapName[] {
  const slot = slotOf(operation);
  return [
    ...(startsMachine(operation.kind) ? (['running'] as const) : []),
    ...(slot === null ? [] : [capOfSlot[slot]]),
  ];
}

/** What of its pool's caps a desktop has taken. */
export function capsHeld({ machine, operation }: Pick<Session, 'machine' | 'operation'>): readonly CapName[] {
  const isToCome = operation?.status === 'pending' && startsMachine(operation.kind);
  const slot = operation?.status === 'active' ? slotOf(operation) : null;
  return [
    ...(machineStates[machine].machine !== 'absent' && !isToCome ? (['running'] as const) : []),
    ...(slot === null ? [] : [capOfSlot[slot]]),
  ];
}

function startsMachine(kind: OperationKind): boolean {
  return kind === 'boot' || kind === 'restore';
}

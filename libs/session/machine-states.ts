import type { OperationKind } from './operations';

/**
 * Every machine state: which open operation it may carry, and whether a live QEMU is expected on the host.
 * `always` means the state exists only while such an operation is open.
 */
export const machineStates = {
  registering: { operation: 'register', held: 'always', machine: 'absent' },
  off: { operation: null, held: 'never', machine: 'absent' },
  booting: { operation: 'boot', held: 'always', machine: 'changing' },
  running: { operation: 'stop', held: 'maybe', machine: 'live' },
  grace: { operation: null, held: 'never', machine: 'live' },
  queued: { operation: 'save', held: 'always', machine: 'live' },
  saving: { operation: 'save', held: 'always', machine: 'live' },
  committing: { operation: 'save', held: 'always', machine: 'live' },
  resident: { operation: 'save', held: 'always', machine: 'changing' },
  saved: { operation: null, held: 'never', machine: 'absent' },
  restoring: { operation: 'restore', held: 'always', machine: 'changing' },
  hydrating: { operation: 'restore', held: 'always', machine: 'live' },
  'save-failed': { operation: null, held: 'never', machine: 'live' },
  'restore-blocked': { operation: null, held: 'never', machine: 'absent' },
  quarantined: { operation: 'stop', held: 'maybe', machine: 'changing' },
} as const satisfies Record<
  string,
  { operation: OperationKind | null; held: 'always' | 'maybe' | 'never'; machine: 'absent' | 'changing' | 'live' }
>;

export type MachineState = keyof typeof machineStates;

export const machineStateNames = Object.keys(machineStates) as readonly MachineState[];

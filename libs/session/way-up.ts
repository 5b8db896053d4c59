import type { MachineState } from './machine-states';

/**
 * What brings a desktop up before its user comes: an operation to be opened or joined; `up` when nothing has to be done;
 * null when nothing can be done now.
 */
export const wayUp: Readonly<Record<MachineState, 'boot' | 'restore' | 'up' | null>> = {
  registering: null,
  off: 'boot',
  booting: 'boot',
  running: 'up',
  grace: 'up',
  queued: 'up', // a hold takes it out of the queue; without one its save is what it was going to be
  saving: null,
  committing: null,
  resident: null,
  saved: 'restore',
  restoring: 'restore',
  hydrating: 'restore',
  'save-failed': 'up',
  'restore-blocked': null, // work may be lost: an operator decides
  quarantined: null,
};

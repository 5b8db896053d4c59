import type { MachineState } from './machine-states';

/** What an event comes down to, once presence is known anew: the columns of the transition table. */
export const signals = [
  // Presence: somebody came or is announced; the last one went; it is no longer certain; nothing that matters.
  'arrived',
  'left',
  'unsure',
  'unchanged',
  // Time
  'graceElapsed',
  // People
  'registerRequested',
  'bootRequested',
  'saveRequested',
  'restoreRequested',
  'stopRequested',
  // The worker of the open operation
  'claimed',
  'phaseReached',
  'switchoverReached',
  'checkpointDurable',
  'releaseReached',
  'guestRan',
  'succeeded',
  'failed',
  'cancelled',
  // A host, about a desktop nobody works on
  'foundAbsent',
  'foundRunning',
] as const;

export type Signal = (typeof signals)[number];

/** Every rule and the machine states it may lead to; `stay` is the state the desktop is in. */
export const rules = {
  note: ['stay'],
  ignore: ['stay'],
  refuse: ['stay'],
  outOfPlace: ['stay'],
  join: ['stay'],
  joinSave: ['stay'],
  joinRestore: ['stay'],
  askToCancel: ['stay'],
  take: ['stay'],
  bootForUser: ['booting'],
  wakeForUser: ['restoring'],
  settle: ['stay', 'running', 'grace'],
  stayForUser: ['stay', 'running', 'grace'],
  withdrawSave: ['running', 'grace'],
  doubtSave: ['stay', 'running', 'grace'],
  deadlineReached: ['stay', 'queued', 'running'],
  openRegister: ['registering'],
  openBoot: ['booting'],
  openSave: ['stay', 'queued'],
  openRestore: ['stay', 'restoring'],
  openStop: ['stay', 'running'],
  startSave: ['saving', 'running', 'grace'],
  enterPhase: ['stay', 'saving'],
  freeze: ['stay', 'committing'],
  holdDurable: ['stay', 'resident'],
  letGo: ['stay'],
  guestAwake: ['stay', 'hydrating'],
  examined: ['off', 'booting'],
  rejected: ['stay', 'off'],
  booted: ['running', 'grace'],
  bootFailed: ['off'],
  asleep: ['stay', 'saved', 'restoring'],
  stayAwake: ['running', 'grace'],
  saveFailed: ['save-failed', 'running', 'off'],
  releaseFailed: ['running', 'grace', 'save-failed', 'quarantined', 'off'],
  awake: ['running', 'grace'],
  restoreFailed: ['saved', 'restore-blocked'],
  memoryLost: ['restore-blocked'],
  stopped: ['off', 'booting', 'restore-blocked'],
  stopFailed: ['running', 'grace', 'off'],
  stillUnclear: ['stay'],
  crashed: ['stay', 'off'],
  ownershipUnclear: ['quarantined'],
  vanished: ['stay', 'off', 'booting', 'restore-blocked'],
} as const satisfies Record<string, readonly (MachineState | 'stay')[]>;

export type RuleName = keyof typeof rules;

/** The rule for a signal where the state's own row says nothing of it. */
const ordinarily: Record<Signal, RuleName> = {
  arrived: 'note',
  left: 'note',
  unsure: 'note',
  unchanged: 'note',
  graceElapsed: 'ignore',
  registerRequested: 'refuse',
  bootRequested: 'refuse',
  saveRequested: 'refuse',
  restoreRequested: 'refuse',
  stopRequested: 'refuse',
  claimed: 'take',
  phaseReached: 'enterPhase',
  switchoverReached: 'outOfPlace',
  checkpointDurable: 'outOfPlace',
  releaseReached: 'outOfPlace',
  guestRan: 'outOfPlace',
  succeeded: 'outOfPlace',
  failed: 'outOfPlace',
  cancelled: 'outOfPlace',
  foundAbsent: 'ignore',
  foundRunning: 'ignore',
};

const particularly: Record<MachineState, Partial<Record<Signal, RuleName>>> = {
  registering: { succeeded: 'examined', failed: 'rejected', cancelled: 'rejected' },
  off: {
    arrived: 'bootForUser',
    registerRequested: 'openRegister',
    bootRequested: 'openBoot',
    foundRunning: 'ownershipUnclear',
  },
  booting: { bootRequested: 'join', succeeded: 'booted', failed: 'bootFailed', cancelled: 'bootFailed' },
  running: {
    arrived: 'stayForUser',
    left: 'settle',
    unsure: 'settle',
    saveRequested: 'openSave',
    stopRequested: 'openStop',
    succeeded: 'stopped',
    failed: 'stopFailed',
    cancelled: 'stopFailed',
    foundAbsent: 'crashed',
  },
  grace: {
    arrived: 'settle',
    unsure: 'settle',
    graceElapsed: 'deadlineReached',
    saveRequested: 'openSave',
    stopRequested: 'openStop',
    foundAbsent: 'crashed',
  },
  queued: { arrived: 'withdrawSave', unsure: 'doubtSave', saveRequested: 'joinSave', claimed: 'startSave' },
  saving: {
    arrived: 'askToCancel',
    saveRequested: 'joinSave',
    switchoverReached: 'freeze',
    failed: 'saveFailed',
    cancelled: 'stayAwake',
  },
  committing: {
    arrived: 'askToCancel',
    saveRequested: 'joinSave',
    switchoverReached: 'freeze',
    checkpointDurable: 'holdDurable',
    failed: 'saveFailed',
    cancelled: 'stayAwake',
  },
  resident: {
    arrived: 'askToCancel',
    saveRequested: 'joinSave',
    checkpointDurable: 'holdDurable',
    releaseReached: 'letGo',
    succeeded: 'asleep',
    failed: 'releaseFailed',
    cancelled: 'releaseFailed',
  },
  saved: { arrived: 'wakeForUser', restoreRequested: 'openRestore', foundRunning: 'ownershipUnclear' },
  restoring: {
    restoreRequested: 'joinRestore',
    guestRan: 'guestAwake',
    succeeded: 'awake',
    failed: 'restoreFailed',
    cancelled: 'restoreFailed',
  },
  hydrating: {
    restoreRequested: 'joinRestore',
    guestRan: 'guestAwake',
    succeeded: 'awake',
    failed: 'memoryLost',
    cancelled: 'memoryLost',
  },
  'save-failed': {
    arrived: 'settle',
    unsure: 'settle',
    graceElapsed: 'deadlineReached',
    saveRequested: 'openSave',
    stopRequested: 'openStop',
    foundAbsent: 'crashed',
  },
  'restore-blocked': { restoreRequested: 'openRestore', foundRunning: 'ownershipUnclear' },
  quarantined: {
    stopRequested: 'openStop',
    succeeded: 'stopped',
    failed: 'stillUnclear',
    cancelled: 'stillUnclear',
    foundAbsent: 'vanished',
  },
};

/** The transition table: for every state and every signal, the rule that answers. */
export const answers = Object.fromEntries(
  Object.entries(particularly).map(([state, row]) => [state, { ...ordinarily, ...row }]),
) as Readonly<Record<MachineState, Readonly<Record<Signal, RuleName>>>>;

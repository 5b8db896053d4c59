/** What QEMU says of a guest that does not simply run. A guest that has shut down is no condition: its desktop is off. */
export const guestConditions = ['suspended', 'paused', 'io-error', 'panicked', 'failed', 'watchdog'] as const;
export type GuestCondition = (typeof guestConditions)[number];

/** As it is kept with a desktop. */
export interface KeptCondition {
  readonly kind: GuestCondition;
  /** ISO 8601. */
  readonly since: string;
  /** What QEMU says besides; null when nothing. */
  readonly about: string | null;
}

/** For people: what is the matter, what Dormouse does, what they can do. */
export const conditionsInWords: Readonly<Record<GuestCondition, string>> = {
  suspended: 'Its guest has gone to sleep by itself: Dormouse wakes it when a user comes, or when it is to be saved',
  paused: 'Somebody has stopped its guest by QMP: `cont` on monitor.sock in its run directory has it go on',
  'io-error':
    'Its guest stands still because its host cannot read or write one of its disks: Dormouse tries again until that works; make room, or mend the disk',
  panicked: 'Its guest has panicked and stands still: stop the desktop with --force, and start it again',
  failed: 'QEMU cannot go on with its guest: stop the desktop with --force, and start it again',
  watchdog: 'A watchdog has stopped its guest: stop the desktop with --force, and start it again',
};

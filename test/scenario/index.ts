/**
 * The main job on real parts, step by step, for the demo and the end-to-end tests alike: a running Dormouse, a desktop
 * with a guest in it, its broker, and QEMU's own restore to compare with. Asserts nothing: it does, and says what it saw.
 */
export { RunningDormouse } from './running-dormouse';
export { Desk, guestLaunchSpec } from './desk';
export { watchGuest, type GuestWatch } from './guest-watch';
export { endAllOf, leftOf, processesOf, sendSignal, type FoundProcess } from './processes';
export { dropPageCache } from './page-cache';
export { eagerRestore, migrateTo, migrateToFile, writeOwnStream, type OwnStream } from './qemu-by-itself';
export { mainJob, runMainJob, type MainJobOptions, type MainJobReport } from './main-job';
export { leaveAndStop, sleepAndWake, type Round } from './sleep-and-wake';

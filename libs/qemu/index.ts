/**
 * One QEMU process: how to describe and start it, how to talk to it (QMP, guest agent), what the host's QEMU can do.
 * The bytes of its migration stream live in migration-stream; what to do with many of them, in hypervisor.
 */
export { QmpClient, type QmpEvent } from './qmp-client';
export { GuestAgent } from './guest-agent';
export { launchArguments, memoryKiB, passtSocket, sandboxArguments, type LaunchPlacement } from './launch-arguments';
export { pathsInArguments } from './argument-paths';
export { socketFolder, socketIn, socketNames } from './machine-sockets';
export { hostPathsOf, isBelow } from './host-paths';
export { machineParts, type MachineParts } from './machine-parts';
export { machineDifferences, jobsInTheWay } from './machine-differences';
export { sleepObstacles } from './sleep-obstacles';
export { losesWrites, lossyMainMemory } from './lost-writes';
export {
  networkOf,
  diskName,
  hasUnlayeredDisks,
  outdatedArguments,
  parseLaunchSpec,
  parseNewLaunchSpec,
  writableDisks,
  type DiskSpec,
  type LaunchSpec,
  type NetworkSpec,
  type NicSpec,
} from './launch-spec';
export { probeAccelerator, type Accelerator, type AcceleratorChoice } from './accelerator-probe';
export { isMigrating, thawMachine } from './thaw-machine';
export { hasWritten } from './disk-writes';
export { probeHost, type HostCapabilities } from './host-probe';

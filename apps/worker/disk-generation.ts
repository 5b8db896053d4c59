import type { LaunchSpec } from '@dormouse/qemu';

/** A machine without writable disks has no disk generations. */
export function writesToDisk(launchSpec: LaunchSpec): boolean {
  return launchSpec.disks.some((disk) => !disk.readOnly);
}

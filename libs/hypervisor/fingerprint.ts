import { createHash } from 'node:crypto';
import type { HostCapabilities, LaunchSpec } from '@dormouse/qemu';

export type Fingerprint = Readonly<Record<string, string | number>>;

/**
 * What two machines must be equal in for one to wake the other's memory: QEMU's build, accelerator, machine type, CPU
 * model, sizes, and the devices in their order.
 */
export function fingerprintOf(launchSpec: LaunchSpec, host: HostCapabilities): Fingerprint {
  const { machine, cpuModel, memoryMiB, cpus, display, disks, nics, extraArguments } = launchSpec;
  const devices = JSON.stringify({ display, disks: disks.length, nics: nics.map((nic) => nic.model), extraArguments });
  return {
    qemuVersion: host.qemuVersion,
    accelerator: host.accelerator,
    machine,
    cpuModel,
    memoryMiB,
    cpus,
    devices: createHash('sha256').update(devices).digest('hex').slice(0, 16),
  };
}

/** The names of what differs between two fingerprints. */
export function differences(one: Fingerprint, other: Fingerprint): string[] {
  const names = new Set([...Object.keys(one), ...Object.keys(other)]);
  return [...names].filter((name) => one[name] !== other[name]);
}

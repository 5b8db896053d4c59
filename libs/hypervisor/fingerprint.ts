import { createHash } from 'node:crypto';
import type { HostCapabilities, LaunchSpec } from '@dormouse/qemu';

export type Fingerprint = Readonly<Record<string, string | number>>;

/**
 * What two machines must be equal in for one to wake the other's memory: QEMU's build, accelerator, machine type, CPU
 * model, sizes, and the devices in their order, with what the guest knows them by and what is behind them. What a card is connected to
 * is not among it: a guest may be woken behind another bridge.
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
    devices: digestOf(devices),
    disks: digestOf(JSON.stringify(disks.map(({ image, format, readOnly }) => [image, format, readOnly]))),
    nics: digestOf(JSON.stringify(nics.map(({ model, mac }) => [model, mac ?? null]))),
  };
}

/** Not in the fingerprints of older checkpoints: what nobody has written down is not compared. */
const laterMembers: readonly string[] = ['disks', 'nics'];

/** The names of what differs between two fingerprints. */
export function differences(one: Fingerprint, other: Fingerprint): string[] {
  const names = [...new Set([...Object.keys(one), ...Object.keys(other)])];
  const isComparable = (name: string): boolean => !laterMembers.includes(name) || (name in one && name in other);
  return names.filter((name) => one[name] !== other[name] && isComparable(name));
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

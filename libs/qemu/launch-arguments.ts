import type { Accelerator } from './accelerator-probe';
import { networkOf, type LaunchSpec, type NetworkSpec } from './launch-spec';
import { keptFromItKiB } from './lost-writes';
import { socketNames } from './machine-sockets';

/** Where the passt process of a network card listens: in a folder that is its own user's. */
export const passtSocket = { folder: 'passt', name: (nic: number): string => `nic${nic}.sock` } as const;

/**
 * What QEMU may not do although its user may: start programs, become somebody else, take more than its share, and use system calls
 * that no machine needs. It is what a guest finds that has broken out of its machine.
 */
export const sandboxArguments: readonly string[] = [
  '-sandbox',
  'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny',
];

/** What differs between two starts of the same desktop. */
export interface LaunchPlacement {
  readonly name: string;
  readonly accelerator: Accelerator;
  /** One file for each writable disk of the spec, in order. */
  readonly overlays: readonly string[];
  /** For each network card on a bridge the tap interface that was made for it, by the card's number. */
  readonly taps?: Readonly<Record<number, string>>;
  /** Where in its directory QEMU makes its sockets; left out: in the directory itself. */
  readonly socketFolder?: string | undefined;
  /** Wait for a migration stream instead of booting. */
  readonly incoming?: string;
  /** A pair of pipes, `<rescue>.in` and `<rescue>.out`, that carry one more QMP. */
  readonly rescue?: string;
  /** Do not run the guest. */
  readonly paused?: boolean;
}

/**
 * QEMU's command line. Devices and their order are a pure function of the spec: a machine that wakes must be built like
 * the one that slept. No default devices, so that a newer QEMU adds none.
 */
export function launchArguments(spec: LaunchSpec, placement: LaunchPlacement): string[] {
  const socket = (name: keyof typeof socketNames): string =>
    [placement.socketFolder ?? [], socketNames[name]].flat().join('/');
  return [
    ...['-name', `guest=${placement.name}`, '-nodefaults', '-no-user-config'],
    ...sandboxArguments,
    ...['-machine', `${spec.machine},accel=${placement.accelerator}`],
    ...['-cpu', spec.cpuModel, '-m', `${memoryKiB(spec, placement.accelerator)}K`, '-smp', String(spec.cpus)],
    ...['-rtc', 'base=utc,clock=host', '-device', 'vmgenid,guid=auto'],
    ...qmp('control', socket('control')),
    ...qmp('monitor', socket('monitor')),
    ...qmp('guard', socket('guard')),
    ...qmp('events', socket('events')),
    // A guest that shuts down leaves a QEMU that says so. One that ended with its guest would look like one that died.
    ...['-action', 'shutdown=pause'],
    ...(placement.rescue === undefined ? [] : monitor('rescue', `pipe,id=rescue,path=${placement.rescue}`)),
    ...serial('console', socket('console'), ',logfile=console.log,logappend=on'),
    ...serial('probe', socket('probe')),
    ...['-device', 'virtio-serial-pci,id=channels'],
    ...['-chardev', listen('agent', socket('agent'))],
    ...['-device', 'virtserialport,bus=channels.0,chardev=agent,name=org.qemu.guest_agent.0'],
    ...['-device', 'virtio-rng-pci'],
    ...disks(spec, placement.overlays),
    ...spec.nics.flatMap((nic, n) => [
      ...['-netdev', netdev(networkOf(nic), n, placement.taps ?? {})],
      ...['-device', `${nic.model},netdev=net${n}${nic.mac === undefined ? '' : `,mac=${nic.mac}`}`],
    ]),
    ...(spec.display === 'vnc' ? ['-vnc', `unix:${socket('vnc')}`, '-device', 'VGA'] : ['-display', 'none']),
    ...kernel(spec),
    ...(placement.paused === true ? ['-S'] : []),
    ...(placement.incoming === undefined ? [] : ['-incoming', placement.incoming]),
    ...spec.extraArguments,
  ];
}

/** With what keeps an emulating QEMU from losing writes; whatever its version, so that the same spec is the same machine. */
export function memoryKiB({ memoryMiB }: LaunchSpec, accelerator: Accelerator): number {
  return memoryMiB * 1024 + (accelerator === 'tcg' ? keptFromItKiB : 0);
}

function qmp(id: string, socket: string): string[] {
  return monitor(id, listen(id, socket));
}

function monitor(id: string, chardev: string): string[] {
  return ['-chardev', chardev, '-mon', `chardev=${id},mode=control`];
}

function serial(id: string, socket: string, options = ''): string[] {
  return ['-chardev', listen(id, socket) + options, '-device', `isa-serial,chardev=${id}`];
}

function listen(id: string, socket: string): string {
  return `socket,id=${id},path=${socket},server=on,wait=off`;
}

/**
 * User-mode networking leads 10.0.2.2 to the loopback of the host, where every service trusts who comes: QEMU can only close all of it
 * (`restrict`), and its other address family has a translation of its own.
 */
function netdev(network: NetworkSpec, n: number, taps: Readonly<Record<number, string>>): string {
  const tap = (ifname: string): string => `tap,id=net${n},ifname=${ifname},script=no,downscript=no`;
  switch (network.type) {
    case 'user':
      return `user,id=net${n},restrict=on,ipv6=off`;
    case 'passt':
      return `stream,id=net${n},server=off,addr.type=unix,addr.path=${passtSocket.folder}/${passtSocket.name(n)}`;
    case 'tap':
      return tap(network.ifname);
    case 'bridge':
      return tap(taps[n] ?? 'none');
  }
}

function disks(spec: LaunchSpec, overlays: readonly string[]): string[] {
  let writable = 0;
  return spec.disks.flatMap((disk, n) => {
    const [file, format] = disk.readOnly ? [disk.image, disk.format] : [overlays[writable++]!, 'qcow2'];
    const node = {
      driver: format,
      'node-name': `disk${n}`,
      'read-only': disk.readOnly,
      file: { driver: 'file', filename: file },
    };
    // A host that cannot read or write stops the guest, which then goes on as if nothing had been: an error would make its file system give up.
    return ['-blockdev', JSON.stringify(node), '-device', `virtio-blk-pci,drive=disk${n},werror=stop,rerror=stop`];
  });
}

function kernel({ kernel: boot }: LaunchSpec): string[] {
  if (boot === undefined) return [];
  const initrd = boot.initrd === undefined ? [] : ['-initrd', boot.initrd];
  return ['-kernel', boot.image, ...initrd, '-append', boot.commandLine];
}

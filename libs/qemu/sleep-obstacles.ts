import { lossy } from './lost-writes';
import type { MachineParts } from './machine-parts';

/** The page size in which memory is stored and asked for. */
const pageBytes = 4096;

const hostHardware = 'it is hardware of this host, which reads memory that may have yet to come';

/** What QEMU does not block, or not yet when a desktop is registered: types of devices, of netdevs, of memory. */
const refusedTypes: readonly { readonly type: RegExp; readonly why: string }[] = [
  { type: /^virtio-9p/, why: 'QEMU cannot save a guest that has mounted a folder of the host' },
  {
    type: /^vhost-user/,
    why: 'a process beside QEMU uses the guest’s memory, and cannot wait for what has yet to come',
  },
  { type: /^vhost-vdpa/, why: hostHardware },
  { type: /^vfio-/, why: hostHardware },
  {
    // QEMU 7.2 never sends what virtio-mem has not plugged, newer ones its state where no stream should have one; with a
    // pc-dimm, an emulating QEMU 10 aborts when it is to be saved.
    type: /^(virtio-p?mem|pc-dimm|nvdimm)/,
    why: 'not every QEMU can save memory that was plugged in; give the machine all it needs as memoryMiB',
  },
  {
    type: /^memory-backend-file$/,
    why: 'the file keeps the memory while the desktop sleeps, and on a disk it cannot come page by page; take memory-backend-memfd',
  },
];

/** What the spec and the host say of the machine. */
export interface Expected {
  readonly memoryBytes: number;
  readonly processors: number;
  /** The host's QEMU loses writes to memory of some sizes: `losesWrites`. */
  readonly losesWrites: boolean;
}

/** Why this machine could not be saved, or not woken: a sentence each; none when nothing is in the way. */
export function sleepObstacles(parts: MachineParts, expected: Expected): string[] {
  const refused = [...new Set([...parts.types, ...parts.netdevs])].flatMap((name) =>
    refusedTypes.filter(({ type }) => type.test(name)).map(({ why }) => `${name}: ${why}`),
  );
  const large = parts.blocks.filter((block) => block.pageBytes !== pageBytes);
  return [
    ...parts.blockedReasons.map((reason) => `QEMU says: ${reason}`),
    ...refused,
    ...large.map(
      (block) =>
        `memory ${block.name} has pages of ${block.pageBytes / 1024} KiB: a wake brings pages of ${pageBytes / 1024} KiB, huge pages cannot be used`,
    ),
    ...parts.capabilities.map((name) => `migration capability ${name}: Dormouse sets these itself, leave it off`),
    ...(expected.losesWrites ? parts.backends.flatMap(lossy) : []),
    ...(parts.mainMemoryBytes === expected.memoryBytes
      ? []
      : [
          `the machine has ${parts.mainMemoryBytes / 1024} KiB of memory and not the ${expected.memoryBytes / 1024} KiB of the spec`,
        ]),
    ...(parts.processors === expected.processors
      ? []
      : [`the machine has ${parts.processors} processors and not the ${expected.processors} of the spec`]),
  ];
}

import { jobsInTheWay, machineDifferences } from './machine-differences';
import type { MachineParts } from './machine-parts';

const built: MachineParts = {
  objects: [
    { name: '/machine/peripheral/xhci', type: 'qemu-xhci' },
    { name: '/objects/pc.ram', type: 'memory-backend-ram' },
  ],
  types: ['qemu-xhci', 'memory-backend-ram'],
  netdevs: ['user'],
  blocks: [{ name: 'pc.ram', pageBytes: 4096, bytes: 2 ** 27 }],
  backends: [{ name: 'pc.ram', bytes: 2 ** 27 }],
  mainMemoryBytes: 2 ** 27,
  processors: 1,
  nodes: [{ name: 'disk0', driver: 'qcow2', file: '/disks/ada/one.0.qcow2' }],
  jobs: [],
  capabilities: [],
  blockedReasons: [],
};

test('a machine that is as it was built differs in nothing, also while a save of ours has set its capabilities', () => {
  expect(machineDifferences(built, structuredClone(built))).toEqual([]);
  expect(
    machineDifferences(built, { ...built, capabilities: ['auto-converge', 'events', 'pause-before-switchover'] }),
  ).toEqual([]);
});

test.each<[string, Partial<MachineParts>, RegExp]>([
  [
    'a device',
    { objects: [...built.objects, { name: '/machine/peripheral/t', type: 'usb-tablet' }] },
    /^usb-tablet \(t\) was plugged in: unplug it/,
  ],
  ['one that is gone', { objects: built.objects.slice(1) }, /^qemu-xhci \(xhci\) is gone/],
  ['a network', { netdevs: ['user', 'tap'] }, /^the host network tap was added/],
  [
    'memory',
    { blocks: [...built.blocks, { name: 'more', pageBytes: 4096, bytes: 4096 }] },
    /^memory more of 4 KiB was added/,
  ],
  ['a processor', { processors: 2 }, /^it has 2 processors and was built with 1/],
  ['a capability', { capabilities: ['dirty-bitmaps'] }, /^the migration capability dirty-bitmaps is on/],
])('%s: is told with what to do', (_, change, said) => {
  expect(machineDifferences(built, { ...built, ...change })).toEqual([expect.stringMatching(said)]);
});

test('a disk that became another one is told by both', () => {
  const nodes = [{ name: 'disk0', driver: 'qcow2', file: '/elsewhere.qcow2' }];
  expect(machineDifferences(built, { ...built, nodes })).toEqual([
    expect.stringContaining('/elsewhere.qcow2) was added to its disks'),
    expect.stringContaining('/disks/ada/one.0.qcow2) is no longer what it was built with'),
  ]);
});

test('what works on the disks is named', () => {
  expect(jobsInTheWay({ ...built, jobs: [{ name: 'nightly', type: 'backup' }] })).toEqual([
    expect.stringMatching(/^a backup job \(nightly\) works on its disks/),
  ]);
});

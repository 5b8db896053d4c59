import { blocksIn, netdevsIn } from './machine-parts';
import type { MachineParts } from './machine-parts';
import { sleepObstacles } from './sleep-obstacles';

const mebibyte = 2 ** 20;
const memoryBytes = 512 * mebibyte + 8192;
const usual: MachineParts = {
  objects: [],
  backends: [{ name: 'pc.ram', bytes: memoryBytes }],
  mainMemoryBytes: memoryBytes,
  processors: 2,
  nodes: [],
  jobs: [],
  types: ['virtio-blk-pci', 'virtio-net-pci', 'VGA', 'virtio-balloon-pci', 'virtio-rng-pci', 'memory-backend-memfd'],
  netdevs: ['user', 'tap'],
  blocks: [{ name: 'pc.ram', pageBytes: 4096, bytes: memoryBytes }],
  capabilities: [],
  blockedReasons: [],
};

const expected = { memoryBytes, processors: 2, losesWrites: true };

test('nothing is in the way of a usual machine', () => {
  expect(sleepObstacles(usual, expected)).toEqual([]);
});

// Some need hardware or a process beside QEMU, and cannot be started on every machine that runs the tests.
test.each<[string, Partial<MachineParts>]>([
  ['virtio-9p-pci: ', { types: ['virtio-9p-pci'] }],
  ['vhost-user-fs-pci: ', { types: ['vhost-user-fs-pci'] }],
  ['vhost-user: ', { netdevs: ['vhost-user'] }],
  ['vhost-vdpa: ', { netdevs: ['vhost-vdpa'] }],
  ['vfio-pci: ', { types: ['VGA', 'vfio-pci'] }],
  ['virtio-mem-pci: ', { types: ['virtio-mem-pci'] }],
  ['pc-dimm: ', { types: ['pc-dimm'] }],
  ['memory-backend-file: ', { types: ['memory-backend-file'] }],
  ['memory pc.ram has pages of 2048 KiB', { blocks: [{ name: 'pc.ram', pageBytes: 2 ** 21, bytes: memoryBytes }] }],
  ['migration capability multifd', { capabilities: ['multifd'] }],
  ['QEMU says: no', { blockedReasons: ['no'] }],
  ['memory half has 262144 KiB, a multiple of 256 KiB', { backends: [{ name: 'half', bytes: 256 * mebibyte }] }],
  ['the machine has 524288 KiB of memory and not the 524296 KiB of the spec', { mainMemoryBytes: 512 * mebibyte }],
  ['the machine has 4 processors and not the 2', { processors: 4 }],
])('%s… is refused', (beginning, found) => {
  expect(sleepObstacles({ ...usual, ...found }, expected)).toEqual([expect.stringMatching(`^${beginning}`)]);
});

test('everything that is in the way is said at once, and each thing once', () => {
  const found = { types: ['vfio-pci', 'virtio-9p-pci', 'vfio-pci'], blockedReasons: ['no'] };
  expect(sleepObstacles({ ...usual, ...found }, expected)).toHaveLength(3);
});

test('what QEMU tells people of memory and of networks is read as they would', () => {
  const memory = [
    '              Block Name    PSize              Offset               Used              Total',
    '                  pc.ram    2 MiB  0x0000000000000000 0x000000000c000000 0x000000000c000000',
    '   0000:00:05.0/vga.vram    4 KiB  0x000000000c0c0000 0x0000000001000000 0x0000000001000000',
    '',
  ];
  expect(blocksIn(memory.join('\r\n'))).toEqual([
    { name: 'pc.ram', pageBytes: 2 ** 21, bytes: 0xc000000 },
    { name: '0000:00:05.0/vga.vram', pageBytes: 4096, bytes: 0x1000000 },
  ]);
  const network = [
    'loose: index=0,type=user,net=10.0.2.0,restrict=off',
    'virtio-net-pci.0: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:00:12:34:56',
    ' \\ net0: index=0,type=vhost-user,to=unix:back.sock',
    '',
  ];
  expect(netdevsIn(network.join('\r\n'))).toEqual(['user', 'vhost-user']);
});

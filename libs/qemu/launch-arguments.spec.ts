import { launchArguments, type LaunchPlacement } from './launch-arguments';
import { parseLaunchSpec } from './launch-spec';

const spec = parseLaunchSpec({
  machine: 'pc-q35-7.2',
  cpuModel: 'qemu64,+ssse3',
  memoryMiB: 512,
  cpus: 2,
  disks: [
    { image: '/gold/system.qcow2' },
    { image: '/gold/tools.iso', format: 'raw', readOnly: true },
    { image: '/gold/home.raw', format: 'raw' },
  ],
  nics: [{ mac: '52:54:00:aa:bb:cc' }, { model: 'e1000' }],
  display: 'vnc',
  kernel: { image: '/boot/vmlinuz', initrd: '/boot/initrd', commandLine: 'console=ttyS0, quiet' },
  extraArguments: ['-device', 'virtio-balloon-pci'],
});
const placement: LaunchPlacement = { name: 'desk-1', accelerator: 'tcg', overlays: ['/o/system', '/o/home'] };

/** The values of every option `name`, in their order. */
const valuesOf = (name: string, args: readonly string[]): string[] =>
  args.flatMap((arg, n) => (arg === name ? [args[n + 1]!] : []));

const args = launchArguments(spec, placement);

test('the same spec gives the same arguments, and neither is changed', () => {
  const before = JSON.stringify([spec, placement]);
  expect(launchArguments(spec, placement)).toEqual(args);
  expect(JSON.stringify([spec, placement])).toBe(before);
});

test('devices come in an order that only the spec decides', () => {
  const names = valuesOf('-device', args).map((device) => device.split(',')[0]);
  expect(names).toEqual([
    'vmgenid',
    'isa-serial',
    'isa-serial',
    'virtio-serial-pci',
    'virtserialport',
    'virtio-rng-pci',
    'virtio-blk-pci',
    'virtio-blk-pci',
    'virtio-blk-pci',
    'virtio-net-pci',
    'e1000',
    'VGA',
    'virtio-balloon-pci',
  ]);
});

test('a machine that wakes differs from the one that slept by where its memory comes from, and by nothing else', () => {
  const waking = launchArguments(spec, { ...placement, incoming: 'defer' });
  const at = waking.indexOf('-incoming');
  expect(waking.slice(at, at + 2)).toEqual(['-incoming', 'defer']);
  expect(waking.toSpliced(at, 2)).toEqual(args);
});

test('a machine that is only looked at differs by not running, and by nothing else', () => {
  const paused = launchArguments(spec, { ...placement, paused: true });
  expect(paused.filter((arg) => arg !== '-S')).toEqual(args);
  expect(paused.filter((arg) => arg === '-S')).toHaveLength(1);
});

test('where it is placed changes no device', () => {
  const elsewhere = launchArguments(spec, { name: 'desk-2', accelerator: 'kvm', overlays: ['/p/system', '/p/home'] });
  expect(valuesOf('-device', elsewhere)).toEqual(valuesOf('-device', args));
  expect(valuesOf('-machine', elsewhere)).toEqual(['pc-q35-7.2,accel=kvm']);
});

test('an emulated machine has two pages more, lest writes to its memory be missed while it is saved', () => {
  expect(valuesOf('-m', args)).toEqual([`${512 * 1024 + 8}K`]);
  expect(valuesOf('-m', launchArguments(spec, { ...placement, accelerator: 'kvm' }))).toEqual([`${512 * 1024}K`]);
});

test('a writable disk is written to its overlay, a read-only one is read from its image', () => {
  const nodes = valuesOf('-blockdev', args).map((node) => JSON.parse(node) as Record<string, unknown>);
  const file = (filename: string) => ({ driver: 'file', filename });
  expect(nodes).toEqual([
    { driver: 'qcow2', 'node-name': 'disk0', 'read-only': false, file: file('/o/system') },
    { driver: 'raw', 'node-name': 'disk1', 'read-only': true, file: file('/gold/tools.iso') },
    { driver: 'qcow2', 'node-name': 'disk2', 'read-only': false, file: file('/o/home') },
  ]);
  expect(args.join(' ')).not.toContain('/gold/system.qcow2');
});

test('QEMU adds no device of its own, and what the spec adds comes last', () => {
  expect(args).toEqual(expect.arrayContaining(['-nodefaults', '-no-user-config']));
  expect(args.slice(-2)).toEqual(['-device', 'virtio-balloon-pci']);
});

test('sockets are named without a path, so that no run directory is too long for them', () => {
  const paths = args.flatMap((arg) => /(?:path=|unix:)([^,]*)/.exec(arg)?.[1] ?? []);
  expect(paths).toHaveLength(8);
  expect(new Set(paths).size).toBe(8);
  expect(paths.filter((path) => path.includes('/'))).toEqual([]);
});

test('no spec opens a port of the network', () => {
  expect(args.filter((arg) => /tcp:|hostfwd|:\d+$/.test(arg))).toEqual([]);
  const closed = 'restrict=on,ipv6=off';
  expect(valuesOf('-netdev', args)).toEqual([`user,id=net0,${closed}`, `user,id=net1,${closed}`]);
});

test('each kind of network is connected as it says, and none by a program that QEMU would start', () => {
  const mac = '52:54:00:aa:bb:cc';
  const nics = [
    { network: { type: 'user' } },
    { network: { type: 'passt', ports: [{ host: 8022, guest: 22 }] } },
    { mac, network: { type: 'tap', ifname: 'tap7' } },
    { mac, network: { type: 'bridge', bridge: 'br0' } },
  ];
  const connected = launchArguments(parseLaunchSpec({ ...spec, nics }), { ...placement, taps: { 3: 'dm0123456789' } });
  expect(valuesOf('-netdev', connected)).toEqual([
    'user,id=net0,restrict=on,ipv6=off',
    'stream,id=net1,server=off,addr.type=unix,addr.path=passt/nic1.sock',
    'tap,id=net2,ifname=tap7,script=no,downscript=no',
    'tap,id=net3,ifname=dm0123456789,script=no,downscript=no',
  ]);
});

test('QEMU is in its sandbox, whatever it is started for', () => {
  for (const how of [{}, { incoming: 'defer' }, { paused: true }]) {
    const [sandbox, ...others] = valuesOf('-sandbox', launchArguments(spec, { ...placement, ...how }));
    expect(others).toEqual([]);
    expect(sandbox).toBe('on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny');
  }
});

test('without a display, a kernel and disks there is none of them', () => {
  const bare = launchArguments(parseLaunchSpec({ machine: 'pc-q35-7.2', cpuModel: 'qemu64', memoryMiB: 64 }), {
    ...placement,
    overlays: [],
  });
  expect(valuesOf('-display', bare)).toEqual(['none']);
  for (const option of ['-vnc', '-kernel', '-initrd', '-append', '-blockdev', '-netdev', '-incoming', '-S']) {
    expect(bare).not.toContain(option);
  }
});

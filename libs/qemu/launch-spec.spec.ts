import { isDormouseError } from '@dormouse/errors';
import { parseLaunchSpec } from './launch-spec';

const small = { machine: 'pc-q35-7.2', cpuModel: 'qemu64', memoryMiB: 512 };

/** Every problem that was found, each as `field: reason`. */
function problemsOf(value: unknown): readonly string[] {
  try {
    parseLaunchSpec(value);
    return [];
  } catch (error) {
    if (!isDormouseError(error, 'LAUNCH_SPEC_INVALID')) throw error;
    return error.details['problems'] as readonly string[];
  }
}

test('what a spec leaves out is filled in', () => {
  expect(parseLaunchSpec({ ...small, disks: [{ image: '/images/gold.qcow2' }], nics: [{}] })).toEqual({
    ...small,
    cpus: 1,
    disks: [{ image: '/images/gold.qcow2', format: 'qcow2', readOnly: false }],
    nics: [{ model: 'virtio-net-pci' }],
    display: 'none',
    readiness: 'agent',
    extraArguments: [],
  });
});

test('a spec that was parsed is parsed to itself', () => {
  const spec = parseLaunchSpec({
    ...small,
    cpuModel: 'Skylake-Client-v3,-hle,+vmx',
    disks: [{ image: '/images/tools.iso', format: 'raw', readOnly: true }],
    nics: [{ model: 'e1000', mac: '52:54:00:aa:bb:cc' }],
    kernel: { image: '/boot/vmlinuz', initrd: '/boot/initrd', commandLine: 'console=ttyS0 quiet' },
    extraArguments: ['-device', 'virtio-balloon-pci'],
  });
  expect(parseLaunchSpec(JSON.parse(JSON.stringify(spec)))).toEqual(spec);
});

test.each<[string, object]>([
  ['machine', { machine: 'q35' }],
  ['machine', { machine: 'pc' }],
  ['machine', { machine: 'pc-q35' }],
  ['machine', { machine: 'pc-q35-7.2,accel=kvm' }],
  ['cpuModel', { cpuModel: 'host' }],
  ['cpuModel', { cpuModel: 'max' }],
  ['cpuModel', { cpuModel: 'host,-vmx' }],
  ['cpuModel', { cpuModel: 'qemu64 -device x' }],
  ['cpuModel', { cpuModel: '' }],
  ['memoryMiB', { memoryMiB: 63 }],
  ['memoryMiB', { memoryMiB: 512.5 }],
  ['memoryMiB', { memoryMiB: 2 ** 20 + 1 }],
  ['cpus', { cpus: 0 }],
  ['disks.0.image', { disks: [{ image: 'gold.qcow2' }] }],
  ['disks.0.image', { disks: [{ image: '/images/a,readonly=off.qcow2' }] }],
  ['disks.0.image', { disks: [{ image: '/images/a\nb' }] }],
  ['disks.1.format', { disks: [{ image: '/a' }, { image: '/b', format: 'vmdk' }] }],
  ['nics.0.mac', { nics: [{ mac: '52:54:00:aa:bb' }] }],
  ['nics.0.model', { nics: [{ model: 'virtio-net-pci,netdev=x' }] }],
  ['nics.0.network.type', { nics: [{ network: { type: 'vde' } }] }],
  ['nics.0.network', { nics: [{ network: { type: 'user', internet: true } }] }],
  ['nics.0.network.ifname', { nics: [{ mac: '52:54:00:aa:bb:cc', network: { type: 'tap', ifname: 'a,script=/x' } }] }],
  ['nics.0.network.bridge', { nics: [{ mac: '52:54:00:aa:bb:cc', network: { type: 'bridge' } }] }],
  ['nics.0.mac', { nics: [{ network: { type: 'bridge', bridge: 'br0' } }] }],
  ['nics.0.network.ports.0.host', { nics: [{ network: { type: 'passt', ports: [{ host: 0, guest: 1 }] } }] }],
  ['kernel.image', { kernel: { image: 'vmlinuz' } }],
  ['kernel.initrd', { kernel: { image: '/vmlinuz', initrd: '../initrd' } }],
  ['display', { display: 'gtk' }],
  ['readiness', { readiness: 'hope' }],
  ['extraArguments.0', { extraArguments: [7] }],
])('%s of %j is refused by its name', (field, change) => {
  expect(problemsOf({ ...small, ...change })).toEqual([expect.stringMatching(`^${field.replaceAll('.', '\\.')}: .`)]);
});

test('a field nobody knows is refused and not passed over', () => {
  expect(problemsOf({ ...small, memory: 512 })).toEqual([expect.stringContaining('"memory"')]);
  expect(problemsOf({ ...small, disks: [{ image: '/a', readonly: true }] })).toEqual([
    expect.stringMatching(/^disks\.0: .*"readonly"/),
  ]);
});

test('everything that is wrong is said at once', () => {
  const problems = problemsOf({ machine: 'q35', cpuModel: 'host', memoryMiB: 1, disks: [{ image: 'x' }], oops: 1 });
  const fields = problems.map((problem) => problem.slice(0, problem.indexOf(':')));
  expect(fields.sort()).toEqual(['cpuModel', 'disks.0.image', 'launch spec', 'machine', 'memoryMiB']);
});

test.each([null, undefined, 'pc-q35-7.2', 7, []])('%j is no launch spec', (value) => {
  expect(problemsOf(value)).toHaveLength(1);
});

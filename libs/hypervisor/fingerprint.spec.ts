import { parseLaunchSpec, type HostCapabilities } from '@dormouse/qemu';
import { differences, fingerprintOf } from './fingerprint';

const host: HostCapabilities = { qemu: 'qemu', qemuVersion: '7.2.22', accelerator: 'kvm', memoryMiB: 1024 };
const mac = '52:54:00:aa:bb:cc';
const base = {
  machine: 'pc-q35-7.2',
  cpuModel: 'qemu64',
  memoryMiB: 128,
  disks: [{ image: '/i/a', readOnly: true }, { image: '/i/b' }],
  nics: [{ mac }],
};
const of = (more: object) => fingerprintOf(parseLaunchSpec({ ...base, ...more }), host);

test.each<[string, object, string[]]>([
  ['a read-only and a writable disk that change places', { disks: base.disks.toReversed() }, ['disks']],
  ['another image', { disks: [base.disks[0], { image: '/i/c' }] }, ['disks']],
  ['another format', { disks: [{ ...base.disks[0], format: 'raw' }, base.disks[1]] }, ['disks']],
  ['a disk more', { disks: [...base.disks, { image: '/i/c' }] }, ['devices', 'disks']],
  ['another MAC', { nics: [{ mac: '52:54:00:aa:bb:cd' }] }, ['nics']],
  ['another model of card', { nics: [{ mac, model: 'e1000' }] }, ['devices', 'nics']],
  ['two processors', { cpus: 2 }, ['cpus']],
  ['a display', { display: 'vnc' }, ['devices']],
])('%s is another machine to a checkpoint', (_, more, unlike) => {
  expect(differences(of({}), of(more))).toEqual(unlike);
});

test('where a card leads to, who says that the guest is ready, and its next kernel do not matter', () => {
  const more = {
    nics: [{ mac, network: { type: 'bridge', bridge: 'br0' } }],
    readiness: 'none',
    kernel: { image: '/i/vmlinuz' },
  };
  expect(differences(of({}), of(more))).toEqual([]);
});

test('a checkpoint of before disks and cards were written down still fits', () => {
  const { disks: _disks, nics: _nics, ...older } = of({});
  expect(differences(older, of({}))).toEqual([]);
  expect(differences({ ...older, cpus: 3 }, of({}))).toEqual(['cpus']);
});

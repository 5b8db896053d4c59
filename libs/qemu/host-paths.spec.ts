import { hostPathsOf, isBelow } from './host-paths';
import { parseLaunchSpec } from './launch-spec';

test('every field that names a file of the host is known', () => {
  const spec = parseLaunchSpec({
    machine: 'pc-q35-7.2',
    cpuModel: 'qemu64',
    memoryMiB: 64,
    disks: [{ image: '/i/a' }, { image: '/i/b', readOnly: true }],
    kernel: { image: '/i/vmlinuz', initrd: '/i/initrd' },
  });
  expect(hostPathsOf(spec)).toEqual(['/i/a', '/i/b', '/i/vmlinuz', '/i/initrd']);
});

test.each([
  ['/images', '/images/a', true],
  ['/images/', '/images/a/b', true],
  ['/', '/etc/shadow', true],
  ['/images', '/images', false],
  ['/images', '/images-of-others/a', false],
  ['/images', '/images/../etc/shadow', false],
  ['/images/../etc', '/etc/shadow', true],
])('below %s is %s: %s', (directory, path, expected) => {
  expect(isBelow(directory, path)).toBe(expected);
});

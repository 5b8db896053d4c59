import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { headerBytes, locateBackingName, readBackingName } from './qcow2-backing';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-qcow2-'));
});
afterAll(() => rm(directory, { recursive: true }));

const qemuImg = (...args: string[]) => promisify(execFile)('qemu-img', args, { cwd: directory });
const file = (name: string): string => join(directory, name);

test('the name that qemu-img has written is found, relative or absolute, and so is that there is none', async () => {
  await qemuImg('create', '-q', '-f', 'qcow2', 'base.qcow2', '1M');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2', 'relative.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', file('base.qcow2'), '-F', 'qcow2', 'absolute.qcow2');
  expect(await readBackingName(file('base.qcow2'))).toBeNull();
  expect(await readBackingName(file('relative.qcow2'))).toBe('base.qcow2');
  expect(await readBackingName(file('absolute.qcow2'))).toBe(file('base.qcow2'));
});

test('a file that is no qcow2 image, or was cut, is refused by its name', async () => {
  await writeFile(file('short.qcow2'), Buffer.from('QFI\xfb', 'latin1'));
  await writeFile(file('other.qcow2'), Buffer.alloc(4096));
  for (const name of ['short.qcow2', 'other.qcow2']) {
    await expect(readBackingName(file(name))).rejects.toMatchObject({
      code: 'DISK_SOURCE_CHANGED',
      details: { file: file(name) },
    });
  }
});

test('no header, however damaged, is read beyond its first cluster', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 0, maxLength: headerBytes + 4 }), fc.boolean(), (bytes, sound) => {
      const header = Buffer.from(bytes);
      if (sound && header.length >= 4) header.writeUInt32BE(0x514649fb, 0);
      let place: ReturnType<typeof locateBackingName>;
      try {
        place = locateBackingName(header, 'x');
      } catch (error) {
        expect(error).toMatchObject({ code: 'DISK_SOURCE_CHANGED' });
        return;
      }
      if (place !== null) expect([place.offset <= 2 ** 21, place.length <= 1023]).toEqual([true, true]);
    }),
  );
});

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { qemuBinaries } from './qemu-binaries';

const { QEMU_BINARIES: listed, DATA_DIR: dataDir } = process.env;

afterEach(() => {
  for (const [name, value] of Object.entries({ QEMU_BINARIES: listed, DATA_DIR: dataDir })) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
});

test('tests run on the distribution’s QEMU, and on the unpacked one once it is there', async () => {
  delete process.env['QEMU_BINARIES'];
  const directory = await mkdtemp(join(tmpdir(), 'dormouse-qemu-'));
  try {
    process.env['DATA_DIR'] = directory;
    expect(qemuBinaries()).toEqual(['qemu-system-x86_64']);
    const unpacked = join(directory, 'cache', 'qemu', '10');
    await mkdir(unpacked, { recursive: true });
    await writeFile(join(unpacked, 'qemu-system-x86_64'), '');
    expect(qemuBinaries()).toEqual(['qemu-system-x86_64', join(unpacked, 'qemu-system-x86_64')]);
  } finally {
    await rm(directory, { recursive: true });
  }
});

test('or on those that QEMU_BINARIES lists, and on no others', () => {
  process.env['QEMU_BINARIES'] = '/opt/one/qemu, /opt/two/qemu,';
  expect(qemuBinaries()).toEqual(['/opt/one/qemu', '/opt/two/qemu']);
});

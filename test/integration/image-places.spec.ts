import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { QemuHypervisor } from '@dormouse/hypervisor';
import { parseLaunchSpec } from '@dormouse/qemu';

jest.setTimeout(60_000);

let root: string;
let hypervisor: QemuHypervisor;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'dormouse-places-'));
  mkdirSync(join(root, 'images'));
  mkdirSync(join(root, 'keys'));
  writeFileSync(join(root, 'keys', 'master.json'), 'a secret'.padEnd(512));
  writeFileSync(join(root, 'images', 'plain'), Buffer.alloc(65536));
  symlinkSync(join(root, 'keys', 'master.json'), join(root, 'images', 'link'));
  symlinkSync(join(root, 'images'), join(root, 'linked-images'));
  hypervisor = new QemuHypervisor({
    qemu: 'qemu-system-x86_64',
    qemuImg: 'qemu-img',
    accelerator: 'tcg',
    runRoot: join(root, 'run'),
    diskRoot: join(root, 'disks'),
    imageDirs: [join(root, 'linked-images')],
    storageUrl: `file://${root}/storage`,
    pagerProgram: join(process.cwd(), 'dist', 'apps', 'pager', 'main.js'),
    machinesInWaiting: 0,
  });
});
afterAll(async () => {
  await hypervisor.close();
  rmSync(root, { recursive: true });
});

function examine(more: object): Promise<unknown> {
  const spec = { machine: 'pc-q35-7.2', cpuModel: 'qemu64', memoryMiB: 64, ...more };
  return hypervisor.examine({ desktopId: 'ada', launchSpec: parseLaunchSpec(spec) });
}

test('what lies in an allowed directory is taken, by whichever name', async () => {
  for (const folder of ['images', 'linked-images']) {
    const image = join(root, folder, 'plain');
    await examine({
      disks: [
        { image, format: 'raw' },
        { image, format: 'raw', readOnly: true },
      ],
    });
  }
});

test.each<[string, (root: string) => object]>([
  ['a file elsewhere', (at) => ({ disks: [{ image: `${at}/keys/master.json`, format: 'raw' }] })],
  ['a link that leads elsewhere', (at) => ({ disks: [{ image: `${at}/images/link`, format: 'raw', readOnly: true }] })],
  ['a way back', (at) => ({ disks: [{ image: `${at}/images/../keys/master.json`, format: 'raw' }] })],
  ['a file that is not there', (at) => ({ disks: [{ image: `${at}/keys/none`, format: 'raw' }] })],
  ['a kernel elsewhere', (at) => ({ kernel: { image: `${at}/keys/master.json` } })],
  ['an initrd elsewhere', (at) => ({ kernel: { image: `${at}/images/plain`, initrd: `${at}/images/link` } })],
])('%s is refused before anything opens it', async (_, more) => {
  await expect(examine(more(root))).rejects.toMatchObject({ code: 'LAUNCH_SPEC_FORBIDDEN' });
});

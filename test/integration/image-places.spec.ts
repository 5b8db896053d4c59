import { execFileSync } from 'node:child_process';
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
  const images = join(root, 'images');
  const create = (...args: string[]): unknown =>
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', ...args], { cwd: images });
  create('base.qcow2', '1M');
  create('-b', 'base.qcow2', '-F', 'qcow2', 'above.qcow2');
  create('-b', '../keys/master.json', '-F', 'raw', 'over-a-secret.qcow2');
  create('-b', 'link', '-F', 'raw', 'over-a-link.qcow2');
  create('-b', 'over-a-secret.qcow2', '-F', 'qcow2', 'far-above.qcow2');
  create('-u', '-b', 'json:{"driver":"file","filename":"/etc/shadow"}', '-F', 'raw', 'over-json.qcow2', '1M');
  create('-u', '-b', 'base.qcow2', '-F', 'vmdk', 'over-vmdk.qcow2', '1M');
  create('-u', '-b', './circle.qcow2', '-F', 'qcow2', 'circle.qcow2', '1M');
  create('-o', `data_file=${join(root, 'keys', 'data')},data_file_raw=on`, 'outside-data.qcow2', '1M');
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
  await hypervisor?.close();
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
        { image: join(root, folder, 'above.qcow2') },
      ],
      extraArguments: ['-drive', `if=none,id=more,readonly=on,format=raw,file=${image}`],
    });
  }
});

test.each<[string, (root: string) => object]>([
  ['a file elsewhere', (at) => ({ disks: [{ image: `${at}/keys/master.json`, format: 'raw' }] })],
  ['a link that leads elsewhere', (at) => ({ disks: [{ image: `${at}/images/link`, format: 'raw', readOnly: true }] })],
  ['a way back', (at) => ({ disks: [{ image: `${at}/images/../keys/master.json`, format: 'raw' }] })],
  ['a file that is not there', (at) => ({ disks: [{ image: `${at}/keys/none`, format: 'raw' }] })],
  ['a kernel elsewhere', (at) => ({ kernel: { image: `${at}/keys/master.json` } })],
  ['an image over a secret', (at) => ({ disks: [{ image: `${at}/images/over-a-secret.qcow2` }] })],
  ['an image over a link', (at) => ({ disks: [{ image: `${at}/images/over-a-link.qcow2`, readOnly: true }] })],
  ['an image over one over a secret', (at) => ({ disks: [{ image: `${at}/images/far-above.qcow2` }] })],
  ['an image over something in JSON', (at) => ({ disks: [{ image: `${at}/images/over-json.qcow2` }] })],
  ['an image over one that may lead anywhere', (at) => ({ disks: [{ image: `${at}/images/over-vmdk.qcow2` }] })],
  ['an image over itself', (at) => ({ disks: [{ image: `${at}/images/circle.qcow2` }] })],
  ['an image whose content is elsewhere', (at) => ({ disks: [{ image: `${at}/images/outside-data.qcow2` }] })],
  ['an extra argument elsewhere', (at) => ({ extraArguments: ['-cdrom', `${at}/keys/master.json`] })],
  [
    'one that leads elsewhere',
    (at) => ({ extraArguments: ['-drive', `file=${at}/images/link,readonly=on,format=raw`] }),
  ],
  ['one without a path', () => ({ extraArguments: ['-cdrom', '../keys/master.json'] })],
  ['one over a secret', (at) => ({ extraArguments: ['-drive', `file=${at}/images/far-above.qcow2,readonly=on`] })],
  ['an initrd elsewhere', (at) => ({ kernel: { image: `${at}/images/plain`, initrd: `${at}/images/link` } })],
])('%s is refused before anything opens it', async (_, more) => {
  await expect(examine(more(root))).rejects.toMatchObject({ code: 'LAUNCH_SPEC_FORBIDDEN' });
});

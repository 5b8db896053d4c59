import { execFile } from 'node:child_process';
import {
  copyFile,
  mkdir,
  mkdtemp,
  readFile,
  rename,
  rm,
  symlink,
  truncate,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseLaunchSpec, type LaunchSpec } from '@dormouse/qemu';
import { KnownImages } from './known-images';

const run = promisify(execFile);

let directory: string;
let image: string;
let known: KnownImages;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-images-'));
  image = join(directory, 'golden.raw');
  await writeFile(image, 'golden'.repeat(1_000));
  known = new KnownImages(join(directory, 'disks'));
});
afterEach(async () => {
  await known.close();
  await rm(directory, { recursive: true });
});

function spec(...disks: readonly object[]): LaunchSpec {
  return parseLaunchSpec({ machine: 'pc-q35-7.2', cpuModel: 'qemu64', memoryMiB: 64, disks });
}

function onGolden(): LaunchSpec {
  return spec({ image, format: 'raw' });
}

/** Once the content of all images is known. */
async function digested(): Promise<void> {
  const file = join(directory, 'disks/.images/known/ada.json');
  while ((await readFile(file, 'utf8')).includes('"digest":null'))
    await new Promise((resolve) => setTimeout(resolve, 5));
}

const changed = { code: 'IMAGE_CHANGED' };
const moved = { code: 'DISK_MOVED' };

test('an image that stays as it is is known, also by the next worker', async () => {
  expect(await known.place('ada', onGolden())).toEqual([{ image, format: 'raw', isNew: true }]);
  expect(await known.place('ada', onGolden())).toEqual([{ image, format: 'raw', isNew: false }]);
  const next = new KnownImages(join(directory, 'disks'));
  expect(await next.place('ada', onGolden())).toEqual([{ image, format: 'raw', isNew: false }]);
  await next.close();
});

test.each<[string, () => Promise<void>]>([
  [
    'another one of the same size and time was renamed over it',
    async () => {
      const other = join(directory, 'other.raw');
      await writeFile(other, 'silver'.repeat(1_000));
      await utimes(image, new Date(1_000_000), new Date(1_000_000));
      await known.place('ada', onGolden()).catch(() => undefined);
      await utimes(other, new Date(1_000_000), new Date(1_000_000));
      await rename(other, image);
    },
  ],
  ['it was written to in its place', () => writeFile(image, 'golden'.repeat(999) + 'silver')],
  ['it has grown', () => truncate(image, 10_000)],
])('an image is another one when %s, also once its content is known', async (_, change) => {
  await known.place('ada', onGolden());
  await digested();
  await change();
  await expect(known.place('ada', onGolden())).rejects.toMatchObject(changed);
});

test('one that was touched or copied back is the same; before its content is known nobody can tell', async () => {
  await known.place('ada', onGolden());
  await digested();
  await utimes(image, new Date(), new Date());
  await known.place('ada', onGolden());
  await copyFile(image, join(directory, 'copy.raw'));
  await rename(join(directory, 'copy.raw'), image);
  await known.place('ada', onGolden());

  const hurried = new KnownImages(join(directory, 'disks'));
  await hurried.close(); // reads no content
  await hurried.place('bob', onGolden());
  await utimes(image, new Date(0), new Date(0));
  await expect(hurried.place('bob', onGolden())).rejects.toMatchObject(changed);
});

test('an image below the image counts as well, and one that is away is not another one', async () => {
  const base = join(directory, 'base.qcow2');
  const top = join(directory, 'top.qcow2');
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', base, '4M']);
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2', top], { cwd: directory });
  await known.place('ada', spec({ image: top }));
  await digested();
  await run('qemu-io', ['-f', 'qcow2', '-c', 'write 0 64k', base]);
  await expect(known.place('ada', spec({ image: top }))).rejects.toMatchObject(changed);
  await unlink(base);
  await expect(known.place('ada', spec({ image: top }))).rejects.toMatchObject({ code: 'DISK_SOURCE_MISSING' });
});

test('a link that leads elsewhere later changes nothing for a desktop that was made before', async () => {
  const link = join(directory, 'current');
  await symlink(image, link);
  const linked = spec({ image: link, format: 'raw' });
  expect(await known.place('ada', linked)).toMatchObject([{ image }]);
  await unlink(link);
  await writeFile(join(directory, 'newer.raw'), 'newer');
  await symlink(join(directory, 'newer.raw'), link);
  expect(await known.place('ada', linked)).toMatchObject([{ image }]);
  expect(await known.images('ada', linked)).toEqual([image]);
  expect(await known.place('bob', linked)).toMatchObject([{ image: join(directory, 'newer.raw') }]);
});

test('but for one whose layers name the link it is another image', async () => {
  const link = join(directory, 'current');
  await symlink(image, link);
  await mkdir(join(directory, 'disks/ada'), { recursive: true });
  await writeFile(join(directory, 'disks/ada/one.0.qcow2'), 'made before images were noted');
  await known.place('ada', spec({ image: link, format: 'raw' }));
  await unlink(link);
  await symlink(join(directory, 'disks/ada/one.0.qcow2'), link);
  await expect(known.place('ada', spec({ image: link, format: 'raw' }))).rejects.toMatchObject(changed);
});

test('an edit that adds a disk behind the others is taken; one that would give a disk the layers of another is refused', async () => {
  const other = join(directory, 'other.raw');
  await writeFile(other, 'other');
  const system = { name: 'system', image, format: 'raw' };
  const home = { name: 'home', image: other, format: 'raw' };
  await known.place('ada', spec(system));
  await known.checkEdit('ada', spec(system, home));
  expect(await known.place('ada', spec(system, home))).toMatchObject([{ isNew: false }, { isNew: true }]);
  for (const edited of [
    spec(home, system),
    spec(system, { ...home, image }),
    spec(system),
    spec(system, { ...home, readOnly: true }),
    spec({ ...system, name: undefined }, home),
  ]) {
    await expect(known.checkEdit('ada', edited)).rejects.toMatchObject(moved);
  }
  await expect(known.place('ada', spec(home, system))).rejects.toMatchObject(moved);
  await known.checkEdit('bob', spec(home, system)); // it has no disks yet
});

test('the image of a read-only disk is known as well, until the spec names another one or the disk is gone', async () => {
  const tools = join(directory, 'tools.iso');
  const newer = join(directory, 'newer.iso');
  await writeFile(tools, 'tools');
  await writeFile(newer, 'newer');
  const system = { name: 'system', image, format: 'raw' };
  const withTools = (file: string): LaunchSpec =>
    spec(system, { name: 'tools', image: file, format: 'raw', readOnly: true });
  expect(await known.place('ada', withTools(tools))).toMatchObject([{ image }]);
  await digested();
  await copyFile(tools, join(directory, 'copy'));
  await rename(join(directory, 'copy'), tools);
  await known.place('ada', withTools(tools));
  await rename(newer, tools);
  await expect(known.place('ada', withTools(tools))).rejects.toMatchObject(changed);
  await known.checkEdit('ada', spec(system));
  await known.place('ada', spec(system));
  expect(await known.place('ada', withTools(tools))).toMatchObject([{ image, isNew: false }]);
  await writeFile(newer, 'newest');
  await known.place('ada', withTools(newer));
  await unlink(newer);
  await symlink(tools, newer);
  await expect(known.place('ada', withTools(newer))).rejects.toMatchObject(changed); // QEMU would follow it
  await known.place('ada', withTools(tools));
  await expect(known.checkEdit('ada', spec({ ...system, readOnly: true }))).rejects.toMatchObject(moved);
});

test('a read-only disk that becomes writable begins with no layers', async () => {
  await known.place('ada', spec({ image, format: 'raw', readOnly: true }));
  expect(await known.place('ada', onGolden())).toMatchObject([{ isNew: true }]);
  expect(await known.place('ada', onGolden())).toMatchObject([{ isNew: false }]);
});

test('a damaged record is told, and not taken for none', async () => {
  await known.place('ada', onGolden());
  await digested();
  for (const text of ['', '{"disk0":', '[]', '{"disk0":null}']) {
    await writeFile(join(directory, 'disks/.images/known/ada.json'), text);
    await expect(known.place('ada', onGolden())).rejects.toMatchObject(changed);
  }
  await known.forget('ada');
  expect(await known.place('ada', onGolden())).toMatchObject([{ isNew: true }]);
});

import { mkdir, mkdtemp, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pageBytes } from '@dormouse/checkpoint';
import { DiskFileBlocks } from './disk-files';

let directory: string;
let disks: DiskFileBlocks;
const layer = '7c9e6679-7425-40de-944b-e07fc1f90ae7/0';

/** Block n of a disk is filled with n and what the disk is filled with. */
const content = (blocks: number, fill: number): Buffer =>
  Buffer.concat(Array.from({ length: blocks }, (_, block) => Buffer.alloc(pageBytes, fill + block)));

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-disks-'));
  await mkdir(join(directory, 'layers'));
  await writeFile(join(directory, 'image.raw'), content(4, 10));
  await writeFile(join(directory, 'layers', `${layer.replace('/', '.')}.qcow2`), content(3, 20));
  disks = new DiskFileBlocks({ images: [join(directory, 'image.raw')], layers: join(directory, 'layers') });
});
afterEach(async () => {
  await disks.close();
  await rm(directory, { recursive: true, force: true });
});

const missing = (source: string) => ({ code: 'DISK_SOURCE_MISSING', details: { source } });

test('blocks are read where they stand, in images and in layers', async () => {
  expect((await disks.read('image/0', 1, 2)).equals(content(4, 10).subarray(pageBytes, 3 * pageBytes))).toBe(true);
  expect((await disks.read(layer, 2, 1)).equals(content(3, 20).subarray(2 * pageBytes))).toBe(true);
});

test('a disk the machine does not have is named, and so is a file that is not there', async () => {
  await expect(disks.read('image/1', 0, 1)).rejects.toMatchObject(missing('image/1'));
  const other = '00000000-0000-4000-8000-000000000001/0';
  await expect(disks.read(other, 0, 1)).rejects.toMatchObject(missing(other));
});

test('a file that was missing is read once it is back', async () => {
  const image = join(directory, 'image.raw');
  await rename(image, `${image}.away`);
  await expect(disks.read('image/0', 0, 1)).rejects.toMatchObject(missing('image/0'));
  await rename(`${image}.away`, image);
  expect(await disks.read('image/0', 0, 1)).toHaveLength(pageBytes);
});

test('what a file that was cut no longer has is not made up', async () => {
  await truncate(join(directory, 'image.raw'), pageBytes + 100);
  expect(await disks.read('image/0', 0, 4)).toHaveLength(pageBytes + 100);
  expect(await disks.read('image/0', 2, 2)).toHaveLength(0);
});

test('something in the place of a file that cannot be read is named', async () => {
  const image = join(directory, 'image.raw');
  await rm(image);
  await mkdir(image);
  await expect(disks.read('image/0', 0, 1)).rejects.toMatchObject(missing('image/0'));
});

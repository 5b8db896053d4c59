import { execFile } from 'node:child_process';
import { copyFile, readFile, rename, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { JsonObject } from '@dormouse/session';
import type { RunningDormouse } from '../scenario';
import { Desk } from '../scenario/desk';
import { eventually } from '../integration/jobs-fixture';
import { TestBed, type RunningDesk } from '../scenario/test-bed';

jest.setTimeout(240_000);

const run = promisify(execFile);

let bed: TestBed;
let dormouse: RunningDormouse;
let golden: string;
let spec: JsonObject;
let running: RunningDesk;

beforeAll(async () => {
  bed = await TestBed.make();
  golden = join(bed.dataDir, 'golden.qcow2');
  await copyFile(bed.image.goldenImage, golden);
  dormouse = await bed.start();
  spec = { ...bed.launchSpec(128), disks: [{ image: golden }] };
  const desk = new Desk(dormouse, 'ada');
  await desk.register(spec);
  await desk.start();
  running = { desk, guest: await bed.guestOf(desk), memory: { nonce: '', sum: '' } };
  // From then on an image that was only touched is known again.
  const known = join(bed.dataDir, 'disks', '.images', 'known', 'ada.json');
  await eventually(async () => !(await readFile(known, 'utf8')).includes('"digest":null'), 60_000);
});
afterAll(() => bed?.end());

/** Another image under the same name, of the same size; what was there is kept. */
async function replaced(): Promise<void> {
  const other = join(bed.dataDir, 'other.qcow2');
  await copyFile(golden, other);
  await run('qemu-io', ['-f', 'qcow2', '-c', 'write -P 7 4M 64k', other]);
  await rename(golden, join(bed.dataDir, 'kept.qcow2'));
  await rename(other, golden);
}

async function putBack(): Promise<void> {
  await copyFile(join(bed.dataDir, 'kept.qcow2'), golden);
}

test('a desktop that sleeps is not woken on another image, and wakes when the old one is back', async () => {
  await running.guest.write('on the first image');
  running.guest.close();
  await running.desk.does('save');
  await replaced();
  expect(await running.desk.command('restore')).toMatchObject({ status: 'failed', error: { code: 'IMAGE_CHANGED' } });
  expect(await running.desk.view()).toMatchObject({ state: 'saved', restoreFailures: 0 });
  expect(await running.desk.processes()).toEqual([]);
  await putBack();
  await running.desk.does('restore');
  running = await bed.answering(running);
  expect(await running.guest.read()).toBe('on the first image');
});

test('one that is off is not booted on another image, and boots when its own was only touched', async () => {
  running.guest.close();
  await running.desk.does('stop', { force: true });
  await replaced();
  expect(await running.desk.command('start')).toMatchObject({ status: 'failed', error: { code: 'IMAGE_CHANGED' } });
  expect(await running.desk.view()).toMatchObject({ state: 'off' });
  await putBack();
  await utimes(golden, new Date(), new Date());
  await running.desk.start();
  running = await bed.answering(running);
  expect(await running.guest.read()).toBe('on the first image');
});

test('a spec that would put other contents below its layers is refused with what to do, and the desktop stays as it is', async () => {
  running.guest.close();
  await running.desk.does('stop', { force: true });
  const another = { ...spec, disks: [{ image: bed.image.goldenImage }] };
  await expect(running.desk.register(another)).rejects.toMatchObject({ code: 'DISK_MOVED' });
  await running.desk.until(({ operation }) => operation === null);
  expect((await running.desk.view()).launchSpec).toMatchObject({ disks: [{ image: golden }] });
  await running.desk.register({ ...spec, disks: [{ image: golden }, { name: 'home', image: bed.image.goldenImage }] });
  await running.desk.until(({ operation }) => operation === null);
  await running.desk.start();
  running = await bed.answering(running);
  expect(await running.guest.read()).toBe('on the first image');
  expect(await running.desk.layers()).toHaveLength(3);
  running.guest.close();
});

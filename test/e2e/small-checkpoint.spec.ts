import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PageCounts } from '@dormouse/checkpoint';
import type { RunningDormouse } from '../scenario';
import { memoryOf, TestBed, type RunningDesk } from '../scenario/test-bed';

jest.setTimeout(180_000);

const MiB = 2 ** 20;
const fillMiB = 32;

let bed: TestBed;
let dormouse: RunningDormouse;
let running: RunningDesk;

beforeAll(async () => {
  bed = await TestBed.make();
  dormouse = await bed.start({ GC_GRACE_S: '0' });
  running = await bed.desktop(dormouse, 'ada', { fillMiB });
  // A save that comes before the image is indexed goes without; here it is not to.
  while (!(await bed.filesBelow('disks')).some((path) => path.endsWith('.index'))) await sleep(50);
});
afterAll(() => bed?.end());

interface SaveResult {
  readonly checkpointId: string;
  readonly storedBytes: number;
  readonly pages: PageCounts;
}

async function save(): Promise<SaveResult> {
  running.guest.close();
  const { status, result } = await running.desk.command('save');
  expect(status).toBe('succeeded');
  return result as unknown as SaveResult;
}

async function wake(): Promise<void> {
  expect(await running.desk.command('restore')).toMatchObject({ status: 'succeeded', error: null });
  running = { ...running, guest: await bed.guestOf(running.desk) };
  expect(await memoryOf(running.guest)).toEqual(running.memory);
}

let first: SaveResult;

test('a first sleep stores neither what is zero nor what stands on the disk nor anything twice', async () => {
  await running.guest.write('a line on the disk');
  first = await save();
  const { total, zero, previous, disk, duplicate, stored } = first.pages;
  expect(zero + previous + disk + duplicate + stored).toBe(total);
  expect(previous).toBe(0);
  expect(disk).toBeGreaterThan(0);
  expect(duplicate).toBeGreaterThan(0);
  expect(stored * 4096).toBeGreaterThan(fillMiB * MiB); // what the guest has filled is random
  await wake();
  expect(await running.guest.read()).toBe('a line on the disk');
});

test('a second sleep stores what has changed since, and the first may go once the second has woken', async () => {
  await dormouse.api.putPool('default', { graceMs: 60_000, keepCheckpoints: 1 });
  const second = await save();
  expect(second.pages.previous).toBeGreaterThan((fillMiB * MiB) / 4096);
  expect(second.storedBytes).toBeLessThan(first.storedBytes / 2);
  // What is condemned is removed in the collector's next round.
  const manifests = async (): Promise<string[]> =>
    (await bed.filesBelow('storage')).filter((path) => path.endsWith('/manifest'));
  expect(await manifests()).toHaveLength(2); // the pool keeps one, and the first is the one that is known to wake
  await wake();
  while ((await manifests()).length > 1) await sleep(50);
  expect(await manifests()).toEqual([`desktops/ada/checkpoints/${second.checkpointId}/manifest`]);
  expect(await running.guest.read()).toBe('a line on the disk');
});

test('nothing of the memory lies in the storage in the clear', async () => {
  const { nonce } = running.memory;
  for (const path of await bed.filesBelow('storage')) {
    const content = await readFile(join(bed.dataDir, 'storage', path));
    expect({ path, found: content.includes(nonce) }).toEqual({ path, found: false });
  }
});

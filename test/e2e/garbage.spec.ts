import { execFile } from 'node:child_process';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { RunningDormouse } from '../scenario';
import { memoryOf, TestBed, type RunningDesk } from '../scenario/test-bed';

/** A desktop that sleeps often, with a worker that removes and merges at once what it may. */

jest.setTimeout(300_000);

const nights = 5;
let bed: TestBed;
let dormouse: RunningDormouse;
let running: RunningDesk;

beforeAll(async () => {
  bed = await TestBed.make();
  dormouse = await bed.start({ GC_GRACE_S: '0' });
  await dormouse.api.putPool('default', { graceMs: 60_000, keepCheckpoints: 1 });
  running = await bed.desktop(dormouse, 'ada');
});
afterAll(() => bed?.end());

const checkpoint = (...args: string[]): Promise<Record<string, unknown>> =>
  bed.checkpoint({ GC_GRACE_S: '0' }, ...args);

const manifests = async (): Promise<string[]> =>
  (await running.desk.objects()).filter((path) => path.endsWith('/manifest'));

/** Waits until the collectors of the worker have nothing left to do for a while, and this many checkpoints are left. */
async function untilCollected(checkpoints: number): Promise<string[]> {
  let before = '';
  for (let calm = 0; calm < 4;) {
    const now = JSON.stringify([await running.desk.objects(), await running.desk.layers()]);
    calm = now === before && (await manifests()).length === checkpoints ? calm + 1 : 0;
    before = now;
    await sleep(500);
  }
  return running.desk.layers();
}

test(`after each of ${nights} nights there is one checkpoint, few layers, and a guest that has missed nothing`, async () => {
  for (let night = 1; night <= nights; night++) {
    await running.guest.write(`what was written before night ${night}`);
    running.guest.close();
    expect(await running.desk.command('save')).toMatchObject({ status: 'succeeded', error: null });
    expect(await running.desk.command('restore')).toMatchObject({ status: 'succeeded', error: null });
    // Under the machine that runs: it has the layers open that are merged and removed now.
    const layers = await untilCollected(1);
    expect(layers.length).toBeLessThanOrEqual(5);
    running = { ...running, guest: await bed.guestOf(running.desk) };
    expect(await memoryOf(running.guest)).toEqual(running.memory);
    expect(await running.guest.read()).toBe(`what was written before night ${night}`);
    expect(await checkpoint('verify', 'ada')).toMatchObject({ depth: 'contents', findings: [] });
  }
});

test('the layers that are left make a sound chain, and the ledger has a row for each', async () => {
  running.guest.close();
  expect(await running.desk.command('save')).toMatchObject({ status: 'succeeded' });
  const layers = await untilCollected(2); // the newest, and the last that is known to wake
  const folder = join(bed.dataDir, 'disks', 'ada');
  for (const file of layers) await promisify(execFile)('qemu-img', ['check', '-q', join(folder, file)]);
  const { diskGeneration } = await running.desk.view();
  const top = join(folder, `${diskGeneration}.0.qcow2`);
  const { stdout } = await promisify(execFile)('qemu-img', ['info', '--backing-chain', '--output=json', top]);
  const chain = (JSON.parse(stdout) as { filename: string }[]).map(({ filename }) => filename);
  expect(chain.at(-1)).toBe((bed.launchSpec(64)['disks'] as { image: string }[])[0]!.image);
  // All but the one made ahead for the next wake.
  expect(
    chain
      .slice(0, -1)
      .map((file) => file.slice(folder.length + 1))
      .sort(),
  ).toEqual(layers.filter((file) => !file.includes('.next.')).sort());
});

test('gc on the host says what it would remove, removes it, and then finds nothing', async () => {
  const { checkpointId } = await running.desk.view();
  // Beside a checkpoint that is there, an object that its manifest does not name.
  const folder = join(bed.dataDir, 'storage', 'desktops', 'ada', 'checkpoints', checkpointId!);
  await writeFile(join(folder, 'pack-09999'), 'left by a save that was killed');
  const nothing = { desktops: 1, removedObjects: 0, unknownObjects: 0, failures: [] };
  expect(await checkpoint('gc', '--dry-run')).toMatchObject({ dryRun: true, storage: { removedObjects: 1 } });
  expect(await checkpoint('gc', 'ada')).toMatchObject({ storage: { removedObjects: 1 }, layers: { removedLayers: 0 } });
  expect(await checkpoint('gc')).toMatchObject({ storage: nothing, layers: { removedLayers: 0, failures: [] } });
  expect(await checkpoint('verify', 'ada')).toMatchObject({ findings: [] });
});

test('deleted, nothing of it is left: neither in the storage nor on the host', async () => {
  await dormouse.api.deleteDesktop('ada');
  const left = async (): Promise<string[]> => [
    ...(await running.desk.objects()),
    ...(await running.desk.layers()),
    ...(await readdir(join(bed.dataDir, 'run'))).filter((name) => name === 'ada'),
  ];
  while ((await left()).length > 0) await sleep(50);
  expect(await left()).toEqual([]);
});

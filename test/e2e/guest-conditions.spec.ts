import { execFileSync } from 'node:child_process';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { runInGuest } from '../guest';
import type { RunningDormouse } from '../scenario';
import { memoryOf, TestBed, type RunningDesk } from '../scenario/test-bed';

jest.setTimeout(300_000);

/** Only root may mount the small file system that fills up. */
const asRoot = process.getuid?.() === 0 ? test : test.skip;

let bed: TestBed;
let dormouse: RunningDormouse;
let running: RunningDesk;
let disks: string;

beforeAll(async () => {
  bed = await TestBed.make();
  disks = join(bed.dataDir, 'small');
  await mkdir(disks);
  if (process.getuid?.() === 0) execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=96m', 'tmpfs', disks]);
  dormouse = await bed.start({ DISKS_DIR: disks });
  await dormouse.api.putPool('default', { graceMs: 3_600_000, keepCheckpoints: 1 });
  running = await bed.desktop(dormouse, 'ada', { memoryMiB: 192, fillMiB: 16 });
});
afterAll(() => bed?.end(() => process.getuid?.() === 0 && execFileSync('umount', [disks])));

function agentSocket(): string {
  return running.desk.runDirectory.file('agent.sock');
}

/** As a guest's own timer does it. */
async function suspends(): Promise<void> {
  const sleeps = 'sleep 1; echo deep > /sys/power/mem_sleep; echo mem > /sys/power/state';
  await runInGuest(agentSocket(), `sh -c '${sleeps}' >/dev/null 2>&1 </dev/null & true`);
  await running.desk.until(({ condition }) => condition?.kind === 'suspended');
}

test('a guest that suspends itself is told to be so, and woken when its user comes', async () => {
  await suspends();
  expect((await dormouse.api.explain('ada')).hindrances).toContainEqual(
    expect.objectContaining({ code: 'GUEST_CONDITION', sentence: expect.stringContaining('gone to sleep by itself') }),
  );
  await running.desk.broker('connected');
  await running.desk.until(({ condition }) => condition === null);
  await running.guest.ping({ timeoutMs: 60_000 });
  await running.desk.broker('disconnected');
});

asRoot(
  'one whose disk cannot be written stands still and is told to be so, is not saved so, and goes on when there is room',
  async () => {
    const filling = join(disks, 'filling');
    execFileSync('sh', ['-c', `dd if=/dev/zero of=${filling} bs=1M 2>/dev/null || true`]);
    const written = runInGuest(agentSocket(), 'dd if=/dev/urandom of=/var/big bs=1M count=8 && sync && echo done');
    const { condition } = await running.desk.until(({ condition }) => condition?.kind === 'io-error');
    expect(condition!.about).toContain('no room left');
    expect((await dormouse.api.explain('ada')).sentence).toContain('make room');
    expect(await running.desk.command('save')).toMatchObject({ status: 'failed', error: { code: 'GUEST_STOPPED' } });
    await rm(filling);
    expect(await written).toContain('done');
    await running.desk.until(({ condition }) => condition === null);
  },
);

asRoot(
  'where there is no room for the layer of a wake it is said so, and counts as no failure of its checkpoint',
  async () => {
    await bed.sleeps(running);
    for (const made of await readdir(join(disks, 'ada'))) {
      if (made.includes('.next.')) await rm(join(disks, 'ada', made)); // made ahead, while there was room
    }
    const filling = join(disks, 'filling');
    execFileSync('sh', ['-c', `dd if=/dev/zero of=${filling} bs=4k 2>/dev/null || true`]);
    const failed = await running.desk.command('restore');
    expect(failed).toMatchObject({ status: 'failed', error: { code: 'DISKS_FULL' } });
    expect(failed.error!.message).toContain(disks);
    expect(await running.desk.view()).toMatchObject({ state: 'saved', restoreFailures: 0 });
    await writeFile(filling, '');
    await sleep(100);
    running = await bed.wakes(running);
    expect(await memoryOf(running.guest)).toEqual(running.memory);
  },
);

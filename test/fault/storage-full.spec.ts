import { execFileSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { watchGuest, type GuestWatch, type RunningDormouse } from '../scenario';
import { memoryOf, TestBed, type RunningDesk } from '../scenario/test-bed';

jest.setTimeout(120_000);

/** Only root may mount the small file system that fills up. */
const whenRoot = process.getuid?.() === 0 ? describe : describe.skip;

whenRoot('a storage that is full', () => {
  let bed: TestBed;
  let storage: string;
  let mounted = false;
  let dormouse: RunningDormouse;
  let running: RunningDesk;
  let watch: GuestWatch;

  beforeAll(async () => {
    bed = await TestBed.make();
    storage = join(bed.dataDir, 'small');
    await mkdir(storage);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=32m', 'tmpfs', storage]);
    mounted = true;
    dormouse = await bed.start({ STORAGE_URL: pathToFileURL(storage).href });
    running = await bed.desktop(dormouse, 'ada', { fillMiB: 64 });
    watch = watchGuest(running.guest);
  });

  afterAll(async () => {
    try {
      await bed?.end(() => mounted && execFileSync('umount', [storage]));
    } finally {
      await watch?.stop();
    }
  });

  test('fails a save with the reason, and the desktop runs on', async () => {
    const { status, error } = await running.desk.command('save');
    expect({ status, code: error?.code }).toEqual({ status: 'failed', code: 'STORAGE_FULL' });
    expect(error?.message).toMatch(/no space left/);
    const desktop = await running.desk.view();
    expect(desktop).toMatchObject({ state: 'save-failed', checkpointId: null, lastError: { code: 'STORAGE_FULL' } });
    expect(desktop.graceDeadline).not.toBeNull();
  });

  test('does not halt the guest', () => {
    expect(watch.longestSilenceMs()).toBeLessThan(10_000);
  });

  test('keeps nothing of what was written before it was full, and no pager', async () => {
    expect(await bed.filesBelow('small')).toEqual([]);
    expect(await running.desk.runDirectory.liveProcess('pager')).toBeNull();
  });

  test('takes the desktop once there is room, and gives it back', async () => {
    await watch.stop();
    running.guest.close();
    execFileSync('mount', ['-o', 'remount,size=256m', storage]);
    expect(await running.desk.command('save')).toMatchObject({ status: 'succeeded', error: null });
    expect(await running.desk.view()).toMatchObject({ state: 'saved', lastError: null });
    expect(await running.desk.command('restore')).toMatchObject({ status: 'succeeded' });
    const guest = await bed.guestOf(running.desk);
    expect(await memoryOf(guest)).toEqual(running.memory);
    guest.close();
  });
});

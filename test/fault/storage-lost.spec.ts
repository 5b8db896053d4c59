import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { watchGuest } from '../scenario';
import { slowDown } from '../scenario/slow-process';
import { memoryOf, TestBed } from '../scenario/test-bed';
import { verifyStored } from '../scenario/verify-stored';

jest.setTimeout(180_000);

let bed: TestBed;
beforeAll(async () => {
  bed = await TestBed.make();
});
afterAll(() => bed?.end());

test('a storage that goes away in the middle of a save fails it: the guest runs on, and the checkpoint before is whole', async () => {
  const dormouse = await bed.start();
  const { desk, guest: first } = await bed.desktop(dormouse, 'ada');
  first.close();
  expect(await desk.command('save')).toMatchObject({ status: 'succeeded' });
  const { checkpointId } = await desk.view();
  expect(await desk.command('restore')).toMatchObject({ status: 'succeeded', error: null });
  const guest = await bed.guestOf(desk);
  await guest.fill(32); // so that there is something to store
  const memory = await memoryOf(guest);
  const watch = watchGuest(guest);

  const { id } = await dormouse.api.command('ada', 'save', { reason: 'its storage is to be lost' });
  const pager = slowDown(await desk.process('pager'));
  await desk.until(({ operation }) => Number(operation?.progress['streamBytes']) > 0);
  pager.halt();
  const storage = join(bed.dataDir, 'storage');
  await rename(storage, `${storage}.away`);
  pager.atFullSpeed();
  expect(await desk.ended(id)).toMatchObject({ status: 'failed', error: { code: 'STORAGE_FAILED' } });
  expect(await desk.view()).toMatchObject({ state: 'save-failed', lastError: { code: 'STORAGE_FAILED' } });
  expect(watch.longestSilenceMs()).toBeLessThan(10_000);
  await watch.stop();
  expect(await memoryOf(guest)).toEqual(memory);

  await pagerGone();
  await rm(storage, { recursive: true, force: true }); // what was made where it had been
  await rename(`${storage}.away`, storage);
  expect([...(await verifyStored(bed.dataDir, 'ada'))]).toEqual([[checkpointId, []]]);

  guest.close();
  expect(await desk.command('save')).toMatchObject({ status: 'succeeded', error: null });
  for (const found of (await verifyStored(bed.dataDir, 'ada')).values()) expect(found).toEqual([]);
  expect(await desk.command('restore')).toMatchObject({ status: 'succeeded', error: null });
  expect(await memoryOf(await bed.guestOf(desk))).toEqual(memory);

  async function pagerGone(): Promise<void> {
    while ((await desk.runDirectory.liveProcess('pager')) !== null) await sleep(20);
  }
});

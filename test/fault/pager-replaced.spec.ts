import { setTimeout as sleep } from 'node:timers/promises';
import { sendSignal, watchGuest, type RunningDormouse } from '../scenario';
import { memoryOf, TestBed, type RunningDesk } from '../scenario/test-bed';

jest.setTimeout(180_000);

/** A guest that stands still for longer was left to itself. How long it does is measured by a bench (`kills`). */
const stillMs = 15_000;
/** The rest of the memory stays away for so long: pagers are killed while the guest depends on them. */
const restMs = 4_000;

let bed: TestBed;
let dormouse: RunningDormouse;
let bo: RunningDesk;

beforeAll(async () => {
  bed = await TestBed.make();
  dormouse = await bed.start({ WAKE_MANNER: JSON.stringify({ restMs, longestMs: restMs, wakeSet: false }) });
  bo = await bed.desktop(dormouse, 'bo', { memoryMiB: 256, fillMiB: 96 });
  bo.guest.close();
});
afterAll(() => bed?.end());

async function killPager(afterMs: number): Promise<void> {
  await sleep(afterMs);
  sendSignal(await bo.desk.process('pager'), 'SIGKILL');
}

/** Saves bo and wakes her; resolves when her guest runs and has not all of its memory. */
async function wakeHalf(): Promise<void> {
  expect(await bo.desk.command('save')).toMatchObject({ status: 'succeeded', error: null });
  await dormouse.api.command('bo', 'restore', { reason: 'her pager is to be killed' });
  await bo.desk.until(({ state }) => state === 'hydrating');
}

test.each([
  ['once, at once', [0]],
  ['a little later', [300]],
  ['again and again', [100, 1_100, 1_300]],
])('a guest whose pager is killed %s runs on and has all of its memory', async (_, kills) => {
  await wakeHalf();
  const guest = await bed.guestOf(bo.desk);
  const watch = watchGuest(guest);
  for (const afterMs of kills) await killPager(afterMs);
  await bo.desk.until(({ operation }) => operation === null);
  await watch.stop();
  const { status, error, result } = await bo.desk.latest('restore');
  expect({ status, error }).toEqual({ status: 'succeeded', error: null });
  // One that is killed when all has been sent need not be replaced.
  expect(kills.length - Number(result?.['pagersReplaced'])).toBeLessThanOrEqual(1);
  expect(watch.longestSilenceMs()).toBeLessThan(stillMs);
  expect(await memoryOf(guest)).toEqual(bo.memory);
  guest.close();
});

test('a guest whose pager is killed while the rest of its memory comes, or when it has come, has all of it', async () => {
  await wakeHalf();
  const guest = await bed.guestOf(bo.desk);
  await bo.desk.until(({ operation }) => operation === null || Number(operation.progress['sentPages']) > 10_000);
  const pager = await bo.desk.runDirectory.liveProcess('pager');
  if (pager !== null) sendSignal(pager.pid, 'SIGKILL');
  await bo.desk.until(({ operation }) => operation === null);
  expect(await bo.desk.latest('restore')).toMatchObject({ status: 'succeeded', error: null });
  expect(await memoryOf(guest)).toEqual(bo.memory);
  guest.close();
});

test('a guest whose pager and worker are killed together runs on as soon as there is another worker', async () => {
  await wakeHalf();
  const guest = await bed.guestOf(bo.desk);
  const worker = await dormouse.workerPid();
  sendSignal(worker, 'SIGKILL');
  sendSignal(await bo.desk.process('pager'), 'SIGKILL');
  const sum = guest.sum(); // asks for every page, and waits
  await bo.desk.until(({ operation }) => operation === null);
  expect(await bo.desk.latest('restore')).toMatchObject({ status: 'succeeded' });
  expect(await sum).toBe(bo.memory.sum);
  guest.close();
});

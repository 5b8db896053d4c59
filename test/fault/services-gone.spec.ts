import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startPostgres, startRedis } from '@dormouse/embedded';
import type { RunningDormouse } from '../scenario';
import { memoryOf, TestBed, type RunningDesk } from '../scenario/test-bed';

jest.setTimeout(240_000);

/** The rest of the memory stays away for so long: the guest depends on its pager meanwhile. */
const restMs = 25_000;

let bed: TestBed;
let dormouse: RunningDormouse;
let services: readonly { stop(): Promise<void> }[];
let addresses: { readonly DATABASE_URL: string; readonly REDIS_URL: string };
let ada: RunningDesk;

beforeAll(async () => {
  bed = await TestBed.make();
  await servicesCome();
  dormouse = await bed.start({
    ...addresses,
    WAKE_MANNER: JSON.stringify({ restMs, longestMs: restMs, wakeSet: false }),
  });
  ada = await bed.desktop(dormouse, 'ada', { memoryMiB: 192, fillMiB: 48 });
  ada.guest.close();
});
afterAll(async () => {
  await servicesGo();
  await bed?.end();
});

/** Beside the data directory: Dormouse is told where they are, and does not see to them. */
async function servicesCome(): Promise<void> {
  const directory = join(bed.dataDir, 'services');
  await mkdir(directory, { recursive: true });
  const options = { directory, log: () => undefined };
  const [postgres, redis] = await Promise.all([startPostgres(options), startRedis(options)]);
  services = [redis, postgres];
  addresses = { DATABASE_URL: postgres.url, REDIS_URL: redis.socketPath };
}

async function servicesGo(): Promise<void> {
  await Promise.all((services ?? []).map((service) => service.stop()));
}

/** The api answers again. */
async function untilServed(): Promise<void> {
  for (;;) {
    const isBack = await ada.desk.view().then(
      () => true,
      () => false,
    );
    if (isBack) return;
    await sleep(100);
  }
}

test.each([
  // Longer than the operation's lease and its job's lock: whoever looks for forgotten work finds it when they are back.
  ['and come back while its memory is still coming', 17_000],
  ['for a minute, and come back when its memory has long been there', 60_000],
])('Postgres and Redis go while a guest hydrates, %s: it completes, by the same worker', async (_, goneMs) => {
  const { desk, memory } = ada;
  await desk.does('save');
  const { id } = await dormouse.api.command('ada', 'restore', { reason: 'while services are away' });
  await desk.until(({ state }) => state === 'hydrating');
  const worker = await dormouse.workerPid();
  const before = addresses;
  await servicesGo();
  const goneSinceMs = performance.now();
  const guest = await bed.guestOf(desk);
  expect(await memoryOf(guest)).toEqual(memory); // its pager needs neither

  await sleep(goneMs - (performance.now() - goneSinceMs));
  await servicesCome();
  expect(addresses).toEqual(before);
  await untilServed();
  await desk.until(({ operation }) => operation === null);
  expect(await desk.ended(id)).toMatchObject({ status: 'succeeded', error: null });
  expect(await desk.view()).toMatchObject({ lastError: null });
  expect(await dormouse.workerPid()).toBe(worker);
  expect(await memoryOf(guest)).toEqual(memory);
  expect(await desk.runDirectory.liveProcess('pager')).toBeNull();
  guest.close();
});

test('and what comes after that is done as ever', async () => {
  await bed.sleeps(ada);
  await bed.wakes(ada);
});

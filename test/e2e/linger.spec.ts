import { setTimeout as sleep } from 'node:timers/promises';
import type { DesktopView } from '@dormouse/views';
import type { RunningDormouse } from '../scenario';
import { memoryOf, TestBed, type RunningDesk } from '../scenario/test-bed';

jest.setTimeout(240_000);

let bed: TestBed;
let dormouse: RunningDormouse;
let running: RunningDesk;

beforeAll(async () => {
  bed = await TestBed.make();
  dormouse = await bed.start();
  running = await bed.desktop(dormouse, 'ada', { memoryMiB: 128, fillMiB: 8 });
});

afterAll(() => bed?.end());

const lingers = ({ state, operation }: DesktopView) => state === 'resident' && operation?.phase === 'linger';

/** Its user comes and goes; resolves when it is saved and stands still in memory. */
async function leftToLinger(lingerMs: number): Promise<void> {
  await dormouse.api.putPool('default', { graceMs: 0, keepCheckpoints: 2, lingerMs });
  await running.desk.broker('connected');
  await running.desk.broker('disconnected');
  await running.desk.until(lingers);
}

test('a user who returns while the desktop lingers has it at once, as it was, and with a clock that is right', async () => {
  const { desk, guest, memory } = running;
  await leftToLinger(120_000);
  const qemu = await desk.process('qemu');
  await expect(guest.ping({ timeoutMs: 1_000 })).rejects.toMatchObject({ code: 'GUEST_UNRESPONSIVE' });
  await sleep(3_000); // far more than the second that the clock may be wrong by

  const requestedMs = performance.now();
  await desk.broker('reconnected');
  await guest.ping({ timeoutMs: 20_000, retryMs: 20 });
  const answeredMs = performance.now() - requestedMs;
  const { checkpointId } = await desk.until(({ state, operation }) => state === 'running' && operation === null);
  expect(answeredMs).toBeLessThan(5_000);
  expect(await desk.process('qemu')).toBe(qemu);
  expect(await memoryOf(guest)).toEqual(memory);
  expect(Math.abs((await guest.timeMs()) - Date.now())).toBeLessThan(1_000);
  expect(checkpointId).toBeNull();
  expect(await desk.latest('save')).toMatchObject({
    status: 'cancelled',
    error: { code: 'CANCELLED', message: 'a user has come' },
  });
});

test('while it lingers it keeps no worker, and when its time is over its memory is given back and it wakes as it was', async () => {
  const { desk, memory } = running;
  await desk.broker('disconnected');
  await leftToLinger(6_000);
  await desk.until(({ state }) => state === 'saved', 60_000);
  expect(await desk.processes()).toEqual([]);
  expect(await desk.latest('save')).toMatchObject({ status: 'succeeded', attempt: 2 });
  await desk.broker('connected');
  const guest = await bed.guestOf(desk);
  expect(await memoryOf(guest)).toEqual(memory);
});

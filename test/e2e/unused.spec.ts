import type { DesktopView } from '@dormouse/views';
import type { RunningDormouse } from '../scenario';
import { memoryOf, TestBed, type RunningDesk } from '../scenario/test-bed';

jest.setTimeout(240_000);

/** Long enough to do something to the desktop that was woken. */
const graceMs = 4_000;

let bed: TestBed;
let dormouse: RunningDormouse;
let running: RunningDesk;
let asleep: DesktopView;
let layers: readonly string[];

beforeAll(async () => {
  bed = await TestBed.make();
  dormouse = await bed.start();
  await dormouse.api.putPool('default', { graceMs, keepCheckpoints: 3, forgetUnused: true });
  running = await bed.desktop(dormouse, 'ada', { memoryMiB: 128, fillMiB: 16 });
  await running.guest.write('before the sleep');
  await bed.sleeps(running);
});
beforeEach(async () => {
  asleep = await running.desk.view();
  layers = await running.desk.layers();
});
afterAll(() => bed?.end());

const isAsleep = ({ state, operation }: DesktopView) => state === 'saved' && operation === null;

/** What came of the save by which the desktop was put away. */
async function putAway(): Promise<Readonly<Record<string, unknown>>> {
  await running.desk.until(isAsleep);
  expect(await running.desk.processes()).toEqual([]);
  const { status, result } = await running.desk.latest('save');
  expect(status).toBe('succeeded');
  return result!;
}

test('a user is announced and never comes: the desktop goes back to its checkpoint, and nothing is stored', async () => {
  const { desk } = running;
  const stored = (await desk.objects()).filter((path) => !path.includes('/trace-'));
  await desk.broker('connect_requested');
  await desk.until(({ state }) => state === 'grace');
  expect((await dormouse.api.explain('ada')).sentence).toContain('goes back to its checkpoint instead');
  expect(await putAway()).toEqual({ fellBackTo: asleep.checkpointId });
  const { checkpointId, diskGeneration } = await desk.view();
  expect({ checkpointId, diskGeneration }).toEqual({
    checkpointId: asleep.checkpointId,
    diskGeneration: asleep.diskGeneration,
  });
  expect((await desk.objects()).filter((path) => !path.includes('/trace-'))).toEqual(stored);
  expect(await desk.layers()).toEqual(layers);
});

test('what it wakes with is what it had', async () => {
  const { guest, memory } = await bed.wakes(running);
  expect(await memoryOf(guest)).toEqual(memory);
  expect(await guest.read()).toBe('before the sleep');
  guest.close();
  expect(await putAway()).toEqual({ fellBackTo: asleep.checkpointId });
});

test('one that has written to its disk is saved, though nobody has used it', async () => {
  const { guest } = await bed.wakes(running);
  await guest.write('by nobody');
  guest.close();
  expect(await putAway()).toMatchObject({ checkpointId: expect.not.stringMatching(asleep.checkpointId!) });
});

test('one that somebody was connected to is saved, though it has written nothing', async () => {
  const { desk, memory } = running;
  await desk.broker('connected');
  await desk.until(({ state }) => state === 'hydrating' || state === 'running');
  await desk.broker('disconnected');
  expect(await putAway()).toMatchObject({ checkpointId: expect.not.stringMatching(asleep.checkpointId!) });
  await desk.broker('connected');
  const guest = await bed.guestOf(desk);
  expect(await memoryOf(guest)).toEqual(memory);
  expect(await guest.read()).toBe('by nobody');
});

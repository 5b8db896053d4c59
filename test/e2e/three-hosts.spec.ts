import type { RunningDormouse } from '../scenario';
import { guestOn, startWorkerOf } from '../scenario/another-host';
import { memoryOf, TestBed, type RunningDesk } from '../scenario/test-bed';

jest.setTimeout(240_000);

const reason = 'a test';
let bed: TestBed;
let dormouse: RunningDormouse;
let ada: RunningDesk;

beforeAll(async () => {
  bed = await TestBed.make();
  dormouse = await bed.start({ HOST_ID: 'first' });
  await dormouse.api.putPool('default', { graceMs: 60 * 60_000, keepCheckpoints: 2 });
  ada = await bed.desktop(dormouse, 'ada');
  await ada.guest.write('written on the first host');
  // The second host has two workers.
  await Promise.all(['second', 'second', 'third'].map((host) => startWorkerOf(dormouse, host)));
});
afterAll(() => bed?.end());

test('a desktop that was saved on one host wakes on another, with its memory and its disk', async () => {
  ada.guest.close();
  expect(await ada.desk.command('save')).toMatchObject({ status: 'succeeded', hostId: 'first' });
  await dormouse.api.changeHost('first', 'cordon', reason);
  const { hostId, status, error } = await ada.desk.command('restore');
  expect({ status, error }).toEqual({ status: 'succeeded', error: null });
  expect(['second', 'third']).toContain(hostId);
  const guest = await guestOn(dormouse, hostId!, 'ada');
  expect(await memoryOf(guest)).toEqual(ada.memory);
  expect(await guest.read()).toBe('written on the first host');
  await guest.write('written on another host');
  guest.close();
});

test('a host that is drained has the desktop saved from under its user, and woken on the third host', async () => {
  const before = (await ada.desk.view()).hostId!;
  await ada.desk.broker('connected');
  expect(await dormouse.api.changeHost(before, 'drain', reason)).toMatchObject({ intent: 'draining', machines: 1 });
  const moved = await ada.desk.until(({ state, hostId }) => state === 'running' && hostId !== before);
  expect(moved.hostId).toBe(before === 'second' ? 'third' : 'second');
  const guest = await guestOn(dormouse, moved.hostId!, 'ada');
  expect(await memoryOf(guest)).toEqual(ada.memory);
  expect(await guest.read()).toBe('written on another host');
  guest.close();
  const machines = (await dormouse.api.hosts()).map(({ id, machines: count }) => [id, count]);
  expect(Object.fromEntries(machines)).toEqual({ first: 0, second: 0, third: 0, [moved.hostId!]: 1 });
});

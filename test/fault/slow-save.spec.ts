import { setTimeout as sleep } from 'node:timers/promises';
import { slowDown } from '../scenario/slow-process';
import { memoryOf, TestBed } from '../scenario/test-bed';

jest.setTimeout(180_000);

/** Longer than anybody waits for anybody else in a save. */
const standstillMs = 17_000;

let bed: TestBed;
beforeAll(async () => {
  bed = await TestBed.make();
});
afterAll(() => bed?.end());

test('a save that gets nowhere for a while is not given up: its worker is there', async () => {
  const dormouse = await bed.start();
  const { desk, guest, memory } = await bed.desktop(dormouse, 'ada');
  guest.close();
  const { id } = await dormouse.api.command('ada', 'save', { reason: 'to be slow' });
  await desk.until(({ operation }) => operation?.phase === 'capture');
  const pager = slowDown(await desk.process('pager'));
  await desk.until(({ operation }) => Number(operation?.progress['streamBytes']) > 0);
  const { progress } = await dormouse.api.operation(id);
  expect(progress['doneBytes']).toBeGreaterThan(0);
  expect(progress['doneBytes']).toBeLessThanOrEqual(Number(progress['totalBytes']));
  pager.halt();
  await sleep(standstillMs);
  expect((await desk.view()).operation).toMatchObject({ id, status: 'active', attempt: 1 });
  pager.atFullSpeed();
  expect(await desk.ended(id)).toMatchObject({ status: 'succeeded', error: null });
  expect(await desk.command('restore')).toMatchObject({ status: 'succeeded', error: null });
  expect(await memoryOf(await bed.guestOf(desk))).toEqual(memory);
});

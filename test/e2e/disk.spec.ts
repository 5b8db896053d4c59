import { setImmediate } from 'node:timers/promises';
import { sendSignal, type RunningDormouse } from '../scenario';
import { slowDown } from '../scenario/slow-process';
import { memoryOf, TestBed, type RunningDesk } from '../scenario/test-bed';

jest.setTimeout(180_000);

let bed: TestBed;
let dormouse: RunningDormouse;
let running: RunningDesk;

beforeAll(async () => {
  bed = await TestBed.make();
  dormouse = await bed.start();
  running = await bed.desktop(dormouse, 'ada');
});

afterAll(() => bed?.end());

async function sleepAndWake(): Promise<void> {
  await bed.sleeps(running);
  running = await bed.wakes(running);
}

test('what the guest wrote before it slept is there when it wakes', async () => {
  await running.guest.write('before the first sleep');
  await sleepAndWake();
  expect(await running.guest.read()).toBe('before the first sleep');
});

test('what it wrote after waking is there after the next sleep', async () => {
  await running.guest.write('after the first wake');
  await sleepAndWake();
  expect(await running.guest.read()).toBe('after the first wake');
});

test('every sleep seals a layer of its own, and the wake writes to a new one', async () => {
  const { diskGeneration } = await running.desk.view();
  const layers = await running.desk.layers();
  expect(layers).toHaveLength(3);
  expect(layers).toContain(`${diskGeneration}.0.qcow2`);
});

/**
 * Kills the machine of a restore as soon as there is one, and each that follows it, so many times. One without a pager may have waited
 * for the wake, which looks after it: that one would be replaced and no attempt would have failed.
 */
async function killMachines(times: number): Promise<void> {
  const killed = new Set<number>();
  while (killed.size < times) {
    const pid = await running.desk.process('qemu');
    if (!killed.has(pid)) {
      await running.desk.process('pager');
      sendSignal(pid, 'SIGKILL');
    }
    killed.add(pid);
    await setImmediate();
  }
}

test('a wake that fails before the guest runs is tried again, and what failed is told', async () => {
  await bed.sleeps(running);
  const { id } = await dormouse.api.command('ada', 'restore', { reason: 'to be spoilt' });
  await killMachines(1);
  expect(await running.desk.ended(id)).toMatchObject({
    status: 'succeeded',
    error: null,
    result: { failures: [expect.stringMatching(/^lazy: /)] },
  });
  running = await bed.answering(running);
  expect(await memoryOf(running.guest)).toEqual(running.memory);
});

test('one that fails again is done eagerly: all of the memory, and then the guest runs', async () => {
  await bed.sleeps(running);
  const { id } = await dormouse.api.command('ada', 'restore', { reason: 'to be spoilt twice' });
  await killMachines(2);
  const { status, error, result } = await running.desk.ended(id);
  expect({ status, error }).toEqual({ status: 'succeeded', error: null });
  expect(result).toMatchObject({ failures: [expect.any(String), expect.any(String)], pageRequests: 0 });
  expect(result!['sentPages']).toBe(result!['totalPages']);
  running = await bed.answering(running);
  expect(await memoryOf(running.guest)).toEqual(running.memory);
  expect(await running.guest.read()).toBe('after the first wake');
});

test('one that always fails leaves a desktop that wakes at the next attempt', async () => {
  await bed.sleeps(running);
  const { id } = await dormouse.api.command('ada', 'restore', { reason: 'to be spoilt for good' });
  await killMachines(3);
  expect(await running.desk.ended(id)).toMatchObject({
    status: 'failed',
    phase: 'wake',
    error: { details: { failures: [expect.any(String), expect.any(String), expect.stringMatching(/^eager: /)] } },
  });
  expect(await running.desk.view()).toMatchObject({ state: 'saved', restoreFailures: 1 });
  expect(await running.desk.processes()).toEqual([]);

  running = await bed.wakes(running);
  expect(await memoryOf(running.guest)).toEqual(running.memory);
  expect(await running.guest.read()).toBe('after the first wake');
});

test('of a machine that is lost while its memory comes the disk stays as its guest left it, until somebody consents to lose it', async () => {
  await bed.sleeps(running);
  const { id } = await dormouse.api.command('ada', 'restore', { reason: 'to be spoilt' });
  const pager = slowDown(await running.desk.process('pager'));
  await running.desk.until(({ state }) => state === 'hydrating');
  running = await bed.answering(running);
  await running.guest.write('lost with the machine');
  pager.halt();
  sendSignal(await running.desk.process('qemu'), 'SIGKILL');
  pager.atFullSpeed();
  running.guest.close();
  expect(await running.desk.ended(id)).toMatchObject({ status: 'failed', phase: 'hydrate' });
  const { state, diskGeneration } = await running.desk.view();
  expect({ state, diskGeneration }).toEqual({ state: 'restore-blocked', diskGeneration: id });
  expect(await running.desk.layers()).toContain(`${id}.0.qcow2`);
  const { consents } = await dormouse.api.explain('ada');
  expect(consents.map(({ to, asOf }) => [to, asOf === null])).toEqual([
    ['own-checkpoint', false],
    ['older-checkpoint', false],
    ['cold-boot', true],
  ]);
  expect(consents.at(-1)!.sentence).toContain('as its guest has left it');

  const again = await dormouse.api.consent('ada', { to: 'own-checkpoint', reason: 'ada agrees' });
  expect(await running.desk.ended(again.id)).toMatchObject({ status: 'succeeded' });
  running = await bed.answering(running);
  expect(await running.guest.read()).toBe('after the first wake');
  expect(await memoryOf(running.guest)).toEqual(running.memory);
});

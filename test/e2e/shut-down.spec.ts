import { askAgent } from '../guest';
import { sendSignal, type RunningDormouse } from '../scenario';
import { memoryOf, TestBed, type RunningDesk } from '../scenario/test-bed';

jest.setTimeout(300_000);

let bed: TestBed;
let dormouse: RunningDormouse;
let running: RunningDesk;

beforeAll(async () => {
  bed = await TestBed.make();
  // What is left of the memory comes slowly, as from a store far away.
  dormouse = await bed.start({ WAKE_MANNER: '{"restMs":60000,"longestMs":90000}' });
  running = await bed.desktop(dormouse, 'ada', { memoryMiB: 512, fillMiB: 200 });
});

afterAll(() => bed?.end());

/** Wakes the desktop so far that its guest runs while its memory comes. */
async function hydrating(): Promise<string> {
  await bed.sleeps(running);
  const { id } = await dormouse.api.command('ada', 'restore', { reason: 'a test' });
  await running.desk.until(({ state }) => state === 'hydrating');
  running = await bed.answering(running);
  return id;
}

/** Asks the agent, which answers only when it refuses, as a program in the guest would. */
async function shutsDown(): Promise<void> {
  running.guest.close();
  void askAgent(running.desk.runDirectory.file('agent.sock'), 'guest-shutdown', { mode: 'powerdown' }).catch(
    () => undefined,
  );
  const { lastError } = await running.desk.until(({ state, operation }) => state === 'off' && operation === null);
  expect(lastError).toBeNull();
  expect(await running.desk.processes()).toEqual([]);
}

async function bootsAgain(): Promise<void> {
  await running.desk.start();
  running = await bed.answering(running);
}

test('a guest that shuts down while its memory comes leaves a desktop that is off, with the disk as the guest left it', async () => {
  const id = await hydrating();
  await running.guest.write('after the wake');
  await shutsDown();
  expect(await running.desk.ended(id)).toMatchObject({ status: 'succeeded', error: null });
  expect(await running.desk.view()).toMatchObject({ diskGeneration: id });
  await bootsAgain();
  expect(await running.guest.read()).toBe('after the wake');
});

test('one that shuts down while it runs leaves a desktop that is off, and nothing is told as an error', async () => {
  await running.guest.write('before the evening');
  await shutsDown();
  await bootsAgain();
  expect(await running.guest.read()).toBe('before the evening');
});

test('a machine that dies while its memory comes is booted from the very disk that its guest wrote to', async () => {
  await running.guest.fill(200);
  const id = await hydrating();
  await running.guest.write('lost in memory, not on disk');
  sendSignal(await running.desk.process('qemu'), 'SIGKILL');
  running.guest.close();
  expect(await running.desk.ended(id)).toMatchObject({ status: 'failed', phase: 'hydrate' });
  expect(await running.desk.view()).toMatchObject({ state: 'restore-blocked', diskGeneration: id });
  const before = running.memory;
  const { id: boot } = await dormouse.api.consent('ada', { to: 'cold-boot', reason: 'ada agrees' });
  expect(await running.desk.ended(boot)).toMatchObject({ status: 'succeeded' });
  running = await bed.answering(running);
  expect(await running.guest.read()).toBe('lost in memory, not on disk');
  await running.guest.fill(8);
  expect(await memoryOf(running.guest)).not.toMatchObject({ nonce: before.nonce });
});

test('a guest that shuts down while it is saved ends the save, and the desktop is off', async () => {
  await running.guest.write('in the last moment');
  await running.guest.fill(200);
  await running.guest.dirty(150);
  running.guest.close();
  const agent = askAgent(running.desk.runDirectory.file('agent.sock'), 'guest-shutdown', { mode: 'powerdown' });
  void agent.catch(() => undefined);
  const { id } = await dormouse.api.command('ada', 'save', { reason: 'a test' });
  const save = await running.desk.ended(id);
  // Faster than the guest is, the save may have it asleep before it has shut down: then it does so when it wakes.
  if (save.status === 'succeeded') await dormouse.api.command('ada', 'restore', { reason: 'a test' });
  const { lastError } = await running.desk.until(({ state, operation }) => state === 'off' && operation === null);
  expect(lastError).toBeNull();
  await bootsAgain();
  expect(await running.guest.read()).toBe('in the last moment');
});

test('a stop asks the guest to shut down first; a forced one ends it at once', async () => {
  running.guest.close();
  expect(await running.desk.command('stop')).toMatchObject({ status: 'succeeded', result: { shutDown: true } });
  expect(await running.desk.view()).toMatchObject({ state: 'off', lastError: null });
  await running.desk.start();
  running = await bed.answering(running);
  running.guest.close();
  expect(await running.desk.command('stop', { force: true })).toMatchObject({
    status: 'succeeded',
    result: { shutDown: false },
  });
});

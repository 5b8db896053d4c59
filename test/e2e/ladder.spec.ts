import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { OperationView } from '@dormouse/views';
import type { RunningDormouse } from '../scenario';
import { memoryOf, TestBed, type Memory, type RunningDesk } from '../scenario/test-bed';

jest.setTimeout(240_000);

let bed: TestBed;
let dormouse: RunningDormouse;
let running: RunningDesk;

beforeAll(async () => {
  bed = await TestBed.make();
  dormouse = await bed.start();
  await setPolicy({});
  running = await bed.desktop(dormouse, 'ada', { memoryMiB: 128, fillMiB: 8 });
});
afterAll(() => bed?.end());

async function setPolicy(more: object): Promise<void> {
  await dormouse.api.putPool('default', { graceMs: 3_600_000, keepCheckpoints: 5, ...more });
}

/** @returns the checkpoint it sleeps in, and what it knew then */
async function asleep(written: string): Promise<{ checkpointId: string; memory: Memory }> {
  const guest = await bed.guestOf(running.desk);
  await guest.write(written);
  await guest.fill(8);
  const memory = await memoryOf(guest);
  guest.close();
  await running.desk.does('save');
  return { checkpointId: (await running.desk.view()).checkpointId!, memory };
}

function spoil(checkpointId: string): Promise<void> {
  return rm(join(bed.dataDir, 'storage/desktops/ada/checkpoints', checkpointId, 'manifest'));
}

/** The newest operations, the first of them first. */
async function lastOperations(count: number): Promise<readonly OperationView[]> {
  return (await dormouse.api.operationsOf('ada')).slice(0, count).reverse();
}

test('a desktop whose checkpoint is lost waits for consent, and goes back to an older one when an admin gives it', async () => {
  running.guest.close();
  const { desk } = running;
  const older = await asleep('in the older one');
  await desk.does('restore');
  const own = await asleep('in its own');
  const layers = await desk.layers();
  await spoil(own.checkpointId);
  const objects = await desk.objects();
  await desk.broker('connected');
  await desk.until(({ state }) => state === 'restore-blocked');
  expect(await desk.latest('restore')).toMatchObject({ status: 'failed', error: { code: 'CHECKPOINT_INCOMPLETE' } });
  expect(await desk.processes()).toEqual([]);
  expect((await desk.layers()).filter((layer) => !layers.includes(layer))).toEqual([]);
  expect(await desk.objects()).toEqual(objects);

  const { consents } = await dormouse.api.explain('ada');
  expect(consents).toMatchObject([
    { to: 'older-checkpoint', checkpointId: older.checkpointId },
    { to: 'cold-boot', checkpointId: null },
  ]);
  await expect(dormouse.api.command('ada', 'start', { reason: 'a test' })).rejects.toMatchObject({
    code: 'CONSENT_NEEDED',
  });
  const { id } = await dormouse.api.consent('ada', { to: 'older-checkpoint', reason: 'ada agrees' });
  expect(await desk.ended(id)).toMatchObject({ status: 'succeeded', error: null, reason: 'ada agrees' });
  const guest = await bed.guestOf(desk);
  expect(await memoryOf(guest)).toEqual(older.memory);
  expect(await guest.read()).toBe('in the older one');
  guest.close();
});

test('where the pool consents all is tried by itself, and in the end the desktop boots from its disk', async () => {
  const { desk } = running;
  await desk.broker('disconnected');
  const last = await asleep('before all was lost');
  for await (const { id, state } of dormouse.api.checkpoints('ada')) {
    if (state === 'durable') await spoil(id).catch(() => undefined); // one is spoilt already
  }
  await setPolicy({ consents: ['own-checkpoint', 'older-checkpoint', 'cold-boot'] });
  await desk.broker('connected');
  await desk.until(({ state, operation }) => state === 'running' && operation === null);
  const [own, first, second, boot] = await lastOperations(4);
  expect([own, first, second].map((operation) => operation!.error?.code)).toEqual([
    'CHECKPOINT_INCOMPLETE',
    'CHECKPOINT_INCOMPLETE',
    'CHECKPOINT_INCOMPLETE',
  ]);
  expect(own).toMatchObject({ kind: 'restore', requestedBy: 'broker' });
  expect(boot).toMatchObject({ kind: 'boot', requestedBy: 'policy', status: 'succeeded' });
  const guest = await bed.guestOf(desk);
  expect(await guest.nonce()).not.toBe(last.memory.nonce);
  expect(await guest.read()).toBe('before all was lost');
  guest.close();
});

test('what it knows from then on is saved and woken as ever', async () => {
  const { desk } = running;
  await desk.broker('disconnected');
  expect((await desk.view()).checkpointId).toBeNull();
  const { memory } = await asleep('after the cold boot');
  await desk.broker('connected');
  await desk.until(({ state, operation }) => state === 'running' && operation === null);
  const guest = await bed.guestOf(desk);
  expect(await memoryOf(guest)).toEqual(memory);
  expect(await guest.read()).toBe('after the cold boot');
  guest.close();
});

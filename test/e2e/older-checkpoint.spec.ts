import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'pg';
import type { RunningDormouse } from '../scenario';
import { memoryOf, TestBed, type Memory, type RunningDesk } from '../scenario/test-bed';

jest.setTimeout(180_000);

/** A checkpoint, and what the guest knew at its instant. */
interface Instant {
  readonly checkpointId: string;
  readonly diskGeneration: string;
  readonly memory: Memory;
  readonly written: string;
  /** Of the sealed layer. */
  readonly layerSum: string;
}

let bed: TestBed;
let dormouse: RunningDormouse;
let running: RunningDesk;
let older: Instant;
let newer: Instant;

beforeAll(async () => {
  bed = await TestBed.make();
  dormouse = await bed.start();
  await dormouse.api.putPool('default', { graceMs: 3_600_000, keepCheckpoints: 5 });
  running = await bed.desktop(dormouse, 'ada');
  older = await asleep('written before the older one');
  await does('restore');
  await bootAnew();
  newer = await asleep('written before the newer one');
});

afterAll(() => bed?.end());

/** Asks for it, sees it succeed, and has a line into the guest again. */
async function does(command: 'start' | 'restore', checkpointId?: string): Promise<void> {
  const more = checkpointId === undefined ? {} : { checkpointId };
  expect(await running.desk.command(command, more)).toMatchObject({ status: 'succeeded', error: null });
  running = { ...running, guest: await bed.guestOf(running.desk) };
}

/** Off and on again: a guest with another nonce, and nothing of the disk in its memory. */
async function bootAnew(): Promise<void> {
  running.guest.close();
  expect(await running.desk.command('stop')).toMatchObject({ status: 'succeeded' });
  await does('start');
}

/** Gives the guest something to know, in its memory and on its disk, and puts the desktop to sleep. */
async function asleep(written: string): Promise<Instant> {
  await running.guest.write(written);
  await running.guest.fill(24);
  const memory = await memoryOf(running.guest);
  running.guest.close();
  expect(await running.desk.command('save')).toMatchObject({ status: 'succeeded', error: null });
  const { checkpointId, diskGeneration } = await running.desk.view();
  const layerSum = await sumOf(diskGeneration!);
  return { checkpointId: checkpointId!, diskGeneration: diskGeneration!, memory, written, layerSum };
}

async function sumOf(generation: string): Promise<string> {
  const file = join(bed.dataDir, 'disks', 'ada', `${generation}.0.qcow2`);
  return createHash('sha256')
    .update(await readFile(file))
    .digest('hex');
}

async function expectInstant({ checkpointId, memory, written }: Instant): Promise<void> {
  expect(await memoryOf(running.guest)).toEqual(memory);
  expect(await running.guest.read()).toBe(written);
  expect(await running.desk.view()).toMatchObject({ checkpointId });
  // What stands in the memory of the guest could hide a wrong disk: after a boot only the disk can answer.
  await bootAnew();
  expect(await running.guest.nonce()).not.toBe(memory.nonce);
  expect(await running.guest.read()).toBe(written);
}

test('the two instants differ in memory and disk', () => {
  expect(newer.memory.nonce).not.toBe(older.memory.nonce);
  expect(newer.diskGeneration).not.toBe(older.diskGeneration);
});

test('an older checkpoint wakes with its own memory and the disk of its own instant', async () => {
  await does('restore', older.checkpointId);
  await expectInstant(older);
});

test('the newer one is kept, and wakes likewise after the desktop went on from the older one', async () => {
  await asleep('written after going back');
  await does('restore', newer.checkpointId);
  await expectInstant(newer);
});

test('a desktop that boots from a sealed disk writes to a layer of its own', async () => {
  const last = await asleep('written before it was sealed');
  // No way leads from a sealed disk to `off` today; the rule is to hold for those that will.
  const database = new Client({ connectionString: (await dormouse.services()).databaseUrl });
  await database.connect();
  await database.query(`UPDATE desktops SET machine_state = 'off' WHERE id = 'ada'`);
  await database.end();
  await does('start');
  expect(await running.guest.read()).toBe(last.written);
  await running.guest.write('written by the boot');
  const { diskGeneration } = await running.desk.view();
  expect(diskGeneration).not.toBe(last.diskGeneration);
  await bootAnew();
  expect(await running.guest.read()).toBe('written by the boot');
  expect(await sumOf(last.diskGeneration)).toBe(last.layerSum);
});

test('no sealed layer was ever written to', async () => {
  for (const { diskGeneration, layerSum } of [older, newer]) expect(await sumOf(diskGeneration)).toBe(layerSum);
});

import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Desk, processesOf, sendSignal, type RunningDormouse } from '../scenario';
import { slowDown } from '../scenario/slow-process';
import { TestBed } from '../scenario/test-bed';

jest.setTimeout(180_000);

const takeoverPatienceMs = 60_000;

let bed: TestBed;
let dormouse: RunningDormouse;
/** Booting, and being examined, when the worker is killed. */
let booting: Desk;
let examined: Desk;
let bootingQemu: number;

beforeAll(async () => {
  bed = await TestBed.make();
  dormouse = await bed.start();
  booting = new Desk(dormouse, 'booting');
  examined = new Desk(dormouse, 'examined');
  await booting.register(bed.launchSpec(192));
  await dormouse.api.command('booting', 'start', { reason: 'its worker is to be killed' });
  bootingQemu = await booting.process('qemu');

  const pid = await dormouse.workerPid();
  const worker = slowDown(pid);
  const registering = examined.register(bed.launchSpec(192));
  while (!existsSync(join(bed.dataDir, 'run', '.examine-examined', 'qemu.json'))) await sleep(2);
  worker.halt();
  sendSignal(pid, 'SIGKILL');
  await registering; // answered with the operation, which goes on
});

afterAll(() => bed?.end());

test('killed while a desktop boots, the worker has a successor that waits for it and does not start it twice', async () => {
  await booting.until(({ operation }) => operation === null, takeoverPatienceMs);
  expect(await booting.latest('boot')).toMatchObject({ status: 'succeeded', attempt: 2 });
  expect(await booting.process('qemu')).toBe(bootingQemu);
  const guest = await bed.guestOf(booting);
  guest.close();
});

test('killed while a desktop is examined, it has a successor that examines it anew and leaves no trial behind', async () => {
  const { state } = await examined.until(({ operation }) => operation === null, takeoverPatienceMs);
  expect(state).toBe('off');
  expect(await examined.latest('register')).toMatchObject({ status: 'succeeded', attempt: 2 });
  expect((await readdir(join(bed.dataDir, 'run'))).filter((name) => name.startsWith('.examine'))).toEqual([]);
  expect(await processesOf(join(bed.dataDir, 'run', '.examine-examined'))).toEqual([]);
  expect((await bed.filesBelow('disks')).filter((path) => path.startsWith('.examine'))).toEqual([]);
});

import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { readApiAddress } from '@dormouse/config';
import { leftOf, processesOf, type RunningDormouse } from '../scenario';
import { launcherProgram } from '../scenario/running-dormouse';
import { memoryOf, TestBed, type RunningDesk } from '../scenario/test-bed';

jest.setTimeout(180_000);

let bed: TestBed;
let dormouse: RunningDormouse;
let running: RunningDesk;

beforeAll(async () => {
  bed = await TestBed.make();
  dormouse = await bed.start();
  running = await bed.desktop(dormouse, 'ada');
  await running.desk.broker('connected');
});

afterAll(() => bed?.end());

test('stopped while a user is at their desktop, nothing is left running', async () => {
  expect((await processesOf(bed.dataDir)).some(({ command }) => command.includes('qemu-system'))).toBe(true);
  running.guest.close();
  expect(await dormouse.stop()).toBe(0);
  expect(await leftOf(bed.dataDir, 5_000)).toEqual([]);
});

test('at the next start the desktop sleeps', async () => {
  dormouse = await bed.start();
  expect(await dormouse.api.desktop('ada')).toMatchObject({ state: 'saved', operation: null, lastError: null });
});

test('it wakes with what was in its memory when its user returns', async () => {
  const { desk } = running;
  desk.goOnIn(dormouse);
  await desk.broker('reconnected');
  await desk.until(({ state, operation }) => state === 'running' && operation === null);
  const guest = await bed.guestOf(desk);
  expect(await memoryOf(guest)).toEqual(running.memory);
  guest.close();
});

test('started by a program that is killed, Dormouse does not stay behind', async () => {
  await bed.end();
  bed = await TestBed.make();
  const { PATH, HOME } = process.env;
  const program = `require('node:child_process').fork(${JSON.stringify(launcherProgram)})`;
  const parent = spawn(process.execPath, ['-e', program], {
    env: { PATH, HOME, DATA_DIR: bed.dataDir, API_PORT: '0' },
    stdio: 'ignore',
  });
  while ((await readApiAddress(bed.dataDir)) === null) await sleep(50);
  parent.kill('SIGKILL');
  expect(await leftOf(bed.dataDir, 15_000)).toEqual([]);
});

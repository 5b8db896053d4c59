import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { sendSignal, type RunningDormouse } from '../scenario';
import { startWorkerBeside } from '../scenario/another-host';
import { RowHold } from '../scenario/row-hold';
import { memoryOf, TestBed, type RunningDesk } from '../scenario/test-bed';

/** A worker that stands still for longer than its lease, and goes on when a successor has its operation: with a machine that is not its own. */

jest.setTimeout(300_000);

/** Until the successor has it: the lease and the job's lock run out, and a little. */
const takeoverPatienceMs = 60_000;

let bed: TestBed;
let dormouse: RunningDormouse;
let databaseUrl: string;
let ada: RunningDesk;
let bob: RunningDesk;

beforeAll(async () => {
  bed = await TestBed.make();
  dormouse = await bed.start();
  await dormouse.api.putPool('default', { graceMs: 60 * 60_000, keepCheckpoints: 2 });
  [ada, bob] = [await bed.desktop(dormouse, 'ada'), await bed.desktop(dormouse, 'bob')];
  await bed.sleeps(ada);
  ({ databaseUrl } = await dormouse.services());
});
afterAll(() => bed?.end());

/** The process of the worker that has an operation. */
async function holderOf(operationId: string): Promise<number> {
  const client = new Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const { rows } = await client.query<{ worker_id: string }>('SELECT worker_id FROM operations WHERE id = $1', [
      operationId,
    ]);
    return Number(rows[0]!.worker_id.split('/')[1]);
  } finally {
    await client.end();
  }
}

/** Resolves when a worker says that the operation is not its own any more. */
async function untilLeft(operationId: string): Promise<void> {
  const deadline = performance.now() + takeoverPatienceMs;
  for (;;) {
    const logs = ['dormouse.log', 'beside.log'].map((name) => readFile(join(dormouse.dataDir, name), 'utf8'));
    const lines = (await Promise.all(logs)).join('\n').split('\n');
    if (lines.some((line) => line.includes(operationId) && line.includes('is left to the next worker'))) return;
    if (performance.now() > deadline) throw new Error('the worker that was stopped never leaves the operation');
    await sleep(50);
  }
}

/** With its memory, its sockets and its records: it sleeps and wakes. */
async function expectUntouched(one: RunningDesk, qemu: number): Promise<void> {
  const again = await bed.answering(one);
  expect(await memoryOf(again.guest)).toEqual(one.memory);
  expect(await one.desk.process('qemu')).toBe(qemu);
  await bed.sleeps(again);
  expect(await memoryOf((await bed.wakes(again)).guest)).toEqual(one.memory);
}

test('stopped while a desktop wakes, a worker does not end the machine that its successor has woken instead', async () => {
  const { id } = await dormouse.api.command('ada', 'restore', { reason: 'its worker is to stand still' });
  const pager = await ada.desk.process('pager');
  sendSignal(pager, 'SIGSTOP'); // the guest is not to run before its worker stands still
  const qemu = await ada.desk.process('qemu');
  const worker = await holderOf(id);
  sendSignal(worker, 'SIGSTOP');
  for (const pid of [qemu, pager]) sendSignal(pid, 'SIGKILL'); // what the worker hears of first when it goes on
  await startWorkerBeside(dormouse);
  await ada.desk.until(
    ({ state, operation }) => operation === null && ['running', 'grace'].includes(state),
    takeoverPatienceMs,
  );
  const another = await ada.desk.process('qemu');
  expect(another).not.toBe(qemu);
  sendSignal(worker, 'SIGCONT');
  await untilLeft(id);
  await expectUntouched(ada, another);
});

test('stopped while it ends the machine of a saved desktop, a worker ends no other, and removes nothing of it', async () => {
  const { id } = await dormouse.api.command('bob', 'save', { reason: 'its worker is to stand still' });
  bob.guest.close();
  await bob.desk.until(({ operation }) => operation?.phase === 'capture' && operation.status === 'active');
  let hold = await RowHold.take(databaseUrl, 'bob');
  while ((await bob.desk.view()).checkpointId === null) hold = await hold.passOne();
  await hold.workerWaits(); // the next decision is to end the machine
  const worker = await holderOf(id);
  const qemu = await bob.desk.process('qemu');
  sendSignal(qemu, 'SIGSTOP'); // it is asked to quit, and waited for
  await hold.release();
  await bob.desk.until(({ operation }) => operation?.phase === 'release');
  sendSignal(worker, 'SIGSTOP');
  sendSignal(qemu, 'SIGKILL');
  await bob.desk.until(({ state, operation }) => operation === null && state === 'saved', takeoverPatienceMs);
  await bob.desk.does('restore');
  const another = await bob.desk.process('qemu');
  sendSignal(worker, 'SIGCONT');
  await untilLeft(id);
  await expectUntouched(bob, another);
});

import { setTimeout as sleep } from 'node:timers/promises';
import type { GuestClient } from '../guest';
import { sendSignal, watchGuest, type RunningDormouse } from '../scenario';
import { memoryOf, TestBed, type Memory } from '../scenario/test-bed';
import type { Desk } from '../scenario/desk';
import { verifyStored } from '../scenario/verify-stored';
import { RowHold } from '../scenario/row-hold';

jest.setTimeout(120_000);

/** How long a guest may stand still when the pager that was saving it dies. */
const stillMs = 5_000;

let bed: TestBed;
let dormouse: RunningDormouse;
let desk: Desk;
let guest: GuestClient;
let memory: Memory;
let databaseUrl: string;

beforeAll(async () => {
  bed = await TestBed.make();
  dormouse = await bed.start();
  ({ databaseUrl } = await dormouse.services());
  ({ desk, guest, memory } = await bed.desktop(dormouse, 'ada'));
  await guest.write('the disk of ada');
  guest.close();
  expect(await desk.command('save')).toMatchObject({ status: 'succeeded' });
  await wake();
});
afterAll(() => bed?.end());

async function wake(): Promise<void> {
  expect(await desk.command('restore')).toMatchObject({ status: 'succeeded', error: null });
  guest = await bed.guestOf(desk);
}

/** Begins a save, kills its pager and answers with how the save has ended. */
async function saveAndKill(when: { readonly afterMs: number } | { readonly decision: number }) {
  while ((await desk.runDirectory.liveProcess('pager')) !== null) await sleep(20); // that of the wake before
  const { id } = await dormouse.api.command('ada', 'save', { reason: 'its pager is to be killed' });
  let letGo = async (): Promise<void> => undefined;
  if ('afterMs' in when) {
    await desk.process('pager');
    await sleep(when.afterMs);
  } else {
    await desk.until(
      ({ operation }) => operation?.id === id && operation.phase === 'capture' && operation.status === 'active',
    );
    let hold = await RowHold.take(databaseUrl, 'ada');
    for (let passed = 1; passed < when.decision; passed++) hold = await hold.passOne();
    await hold.workerWaits();
    letGo = () => hold.release();
  }
  const pager = await desk.runDirectory.liveProcess('pager');
  if (pager !== null) sendSignal(pager.pid, 'SIGKILL');
  await letGo();
  return desk.ended(id);
}

describe('a desktop that has a checkpoint, and whose pager is killed in the next save', () => {
  test.each([
    ['as soon as it is there', { afterMs: 0 }],
    ['a moment later', { afterMs: 40 }],
    ['while memory comes', { afterMs: 150 }],
    ['late', { afterMs: 400 }],
    ['when the guest is frozen', { decision: 1 }],
    ['when all but the manifest is durable', { decision: 2 }],
    ['when the manifest is written', { decision: 3 }],
    ['when the checkpoint is committed', { decision: 4 }],
  ])('%s: runs on or is asleep, with all of its memory, and every checkpoint is whole', async (_, when) => {
    const watch = watchGuest(guest);
    const { status, error } = await saveAndKill(when);
    const { state } = await desk.until(({ operation }) => operation === null);
    if (state === 'saved') {
      expect({ status, error }).toEqual({ status: 'succeeded', error: null });
    } else {
      expect({ status, state, error: error?.code }).toEqual({
        status: 'failed',
        state: 'save-failed',
        error: 'PAGER_FAILED',
      });
      expect(watch.longestSilenceMs()).toBeLessThan(stillMs);
    }
    await watch.stop();
    guest.close();

    const findings = await verifyStored(bed.dataDir, 'ada');
    expect(findings.size).toBeGreaterThan(0);
    for (const found of findings.values()) expect(found).toEqual([]);

    if (state === 'saved') await wake();
    else guest = await bed.guestOf(desk);
    expect(await memoryOf(guest)).toEqual(memory);
    expect(await guest.read()).toBe('the disk of ada');
  });

  test('is saved once nothing is killed, and nothing is left of the saves that were', async () => {
    guest.close();
    expect(await desk.command('save')).toMatchObject({ status: 'succeeded', error: null });
    const { checkpointId } = await desk.view();
    expect([...(await verifyStored(bed.dataDir, 'ada'))]).toContainEqual([checkpointId, []]);
    expect(await desk.processes()).toEqual([]);
    await wake();
    expect(await memoryOf(guest)).toEqual(memory);
  });
});

import { setTimeout as sleep } from 'node:timers/promises';
import { PagerClient, pagerSockets, type CaptureStatus } from '@dormouse/pager-control';
import type { GuestClient } from '../guest';
import { sendSignal, watchGuest, type RunningDormouse } from '../scenario';
import { memoryOf, TestBed, type Memory } from '../scenario/test-bed';
import type { Desk } from '../scenario/desk';
import { verifyStored } from '../scenario/verify-stored';
import { RowHold } from '../scenario/row-hold';
import { slowDown } from '../scenario/slow-process';

jest.setTimeout(120_000);

/** How long a guest may stand still when the pager that was saving it dies. */
const stillMs = 5_000;
/** Until a pager that is slowed down has come to a point of its work. */
const pointPatienceMs = 60_000;

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

/** What a pager that saves has come to, as it says itself. */
type Point = (status: CaptureStatus) => boolean;
/** Where its pager is killed: when it has come to a point, or while the worker stands before a decision of the ledger. */
type Moment = { readonly point: Point } | { readonly decision: number };

/** Begins a save, kills its pager and answers with how the save has ended. */
async function saveAndKill(moment: Moment) {
  while ((await desk.runDirectory.liveProcess('pager')) !== null) await sleep(20); // that of the wake before
  const { id } = await dormouse.api.command('ada', 'save', { reason: 'its pager is to be killed' });
  if ('point' in moment) {
    sendSignal(await pagerHaltedAt(moment.point), 'SIGKILL');
    return desk.ended(id);
  }
  await desk.until(
    ({ operation }) => operation?.id === id && operation.phase === 'capture' && operation.status === 'active',
  );
  let hold = await RowHold.take(databaseUrl, 'ada');
  for (let passed = 1; passed < moment.decision; passed++) hold = await hold.passOne();
  await hold.workerWaits();
  const pager = await desk.runDirectory.liveProcess('pager');
  if (pager !== null) sendSignal(pager.pid, 'SIGKILL');
  await hold.release();
  return desk.ended(id);
}

/** Slowed down, it is halted before it has come much farther. */
async function pagerHaltedAt(point: Point): Promise<number> {
  const pid = await desk.process('pager');
  const slowed = slowDown(pid);
  const client = await PagerClient.connect<CaptureStatus>(
    desk.runDirectory.file(pagerSockets.control),
    pointPatienceMs,
  );
  try {
    const tooLate = performance.now() + pointPatienceMs;
    while (client.current === null || !point(client.current)) {
      if (performance.now() > tooLate)
        throw new Error(`the pager never comes there: ${JSON.stringify(client.current)}`);
      await sleep(2);
    }
    slowed.halt();
  } catch (error) {
    slowed.atFullSpeed();
    throw error;
  } finally {
    client.close();
  }
  return pid;
}

describe('a desktop that has a checkpoint, and whose pager is killed in the next save', () => {
  const failed = { status: 'failed', state: 'save-failed', error: 'PAGER_FAILED' };
  const saved = { status: 'succeeded', state: 'saved', error: undefined };

  test.each<[string, Moment, object[]]>([
    ['as soon as it can be spoken to', { point: ({ state }) => state === 'listening' }, [failed]],
    ['when it knows how much is to come', { point: ({ state }) => state === 'receiving' }, [failed]],
    ['while memory comes', { point: ({ streamBytes }) => streamBytes > 0 }, [failed]],
    [
      'when all memory has come once',
      { point: ({ arrivedBytes, ramBytes }) => ramBytes > 0 && arrivedBytes === ramBytes },
      [failed],
    ],
    ['when the guest is frozen', { decision: 1 }, [failed]],
    ['when all but the manifest is durable', { decision: 2 }, [failed]],
    // The worker hears of its pager's end and of the ledger's answer at the same time.
    ['when the manifest is written', { decision: 3 }, [failed, saved]],
    ['when the checkpoint is committed', { decision: 4 }, [saved]],
  ])('%s: runs on or is asleep, with all of its memory, and every checkpoint is whole', async (_, moment, expected) => {
    const watch = watchGuest(guest);
    const { status, error } = await saveAndKill(moment);
    const { state } = await desk.until(({ operation }) => operation === null);
    expect(expected).toContainEqual({ status, state, error: error?.code });
    if (state !== 'saved') expect(watch.longestSilenceMs()).toBeLessThan(stillMs);
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

import { sendSignal, type RunningDormouse } from '../scenario';
import { memoryOf, TestBed, type RunningDesk } from '../scenario/test-bed';
import { RowHold } from '../scenario/row-hold';

jest.setTimeout(240_000);

let bed: TestBed;
let dormouse: RunningDormouse;
let databaseUrl: string;
let ada: RunningDesk;

beforeAll(async () => {
  bed = await TestBed.make();
  dormouse = await bed.start();
  ({ databaseUrl } = await dormouse.services());
  await dormouse.api.putPool('default', { graceMs: 5_000, keepCheckpoints: 2, forgetUnused: true });
  ada = await bed.desktop(dormouse, 'ada', { memoryMiB: 128, fillMiB: 8 });
  await bed.sleeps(ada);
});
afterAll(() => bed?.end());

test.each([
  // The end of the grace is the first decision, the claim of the save the second.
  ['while the guest stands still, and nothing is decided', 3],
  ['when the machine is gone, and nobody was told', 4],
])(
  'a worker that is killed %s is followed by one that has the desktop asleep, with all of its memory',
  async (_, decision) => {
    const { desk, memory } = ada;
    const { checkpointId, diskGeneration } = await desk.view();
    await desk.does('restore');
    await desk.until(({ state }) => state === 'grace');
    let hold = await RowHold.take(databaseUrl, 'ada');
    for (let passed = 1; passed < decision; passed++) hold = await hold.passOne();
    await hold.workerWaits();
    expect((await desk.runDirectory.liveProcess('qemu')) === null).toBe(decision === 4);
    sendSignal(await dormouse.workerPid(), 'SIGKILL');
    await hold.release();

    const asleep = await desk.until(({ state, operation }) => state === 'saved' && operation === null);
    const { status, attempt, result } = await desk.latest('save');
    expect({ status, attempt, error: asleep.lastError }).toEqual({ status: 'succeeded', attempt: 2, error: null });
    // One that was thawed may have written something by the time its successor looks: then it is saved.
    if (decision === 4) expect(result).toMatchObject({ fellBackTo: checkpointId });
    if (result!['fellBackTo'] !== undefined) expect(asleep).toMatchObject({ checkpointId, diskGeneration });
    else expect(asleep.checkpointId).toBe(result!['checkpointId']);
    expect(await desk.processes()).toEqual([]);
    const woken = await bed.wakes(ada);
    expect(await memoryOf(woken.guest)).toEqual(memory);
    await bed.sleeps(woken);
  },
);

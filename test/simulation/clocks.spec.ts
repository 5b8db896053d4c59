import { setTimeout as sleep } from 'node:timers/promises';
import { clockSteps, type ClockStep } from '../scenario/step-clock';
import { SimulatedCloud } from './cloud';
import { liveADay, type DayPlan } from './day';
import { clocksAreStepped } from './mishaps';
import { untilAtRest, wakeStartsMs } from './operator';

jest.setTimeout(300_000);

const size = {
  desktops: 12,
  hosts: 4,
  workers: 2,
  apis: 2,
  desktopMiB: 4_096,
  speed: 20,
  failureRate: 0,
  durable: false,
  graceMs: 500,
};
const plan: DayPlan = { lengthMs: 10_000, duplicated: 0.1, delayed: 0.1, longestDelayMs: 500 };
const restPatienceMs = 120_000;
/** Far more than a wake waits on a machine with other things to do, and far less than clocks are wrong by. */
const wakeBeginsMs = 45_000;

describe.each<[ClockStep, readonly ClockStep[]]>([
  ['a day ahead', ['a minute ahead', 'an hour ahead', 'a day behind']],
  ['a day behind', ['a minute behind', 'an hour behind', 'a day ahead']],
])('api and workers whose clocks are %s when they start', (atStart, later) => {
  let cloud: SimulatedCloud;
  let events = 0;
  beforeAll(async () => {
    cloud = await SimulatedCloud.start(size, size.desktops, { aheadMs: clockSteps[atStart] });
  });
  afterAll(() => cloud.stop());

  async function day(clocks: () => Promise<void>): Promise<void> {
    const [report] = await Promise.all([liveADay(cloud, plan), clocks()]);
    events += report.events;
    const standing = await untilAtRest(cloud, restPatienceMs);
    expect(await cloud.violations()).toEqual([]);
    expect(standing).toMatchObject({ openOperations: 0, events, notEmpty: 0 });
    expect(report.refused).toBe(0);
    expect((await wakeStartsMs(cloud, report)).at(-1)).toBeLessThan(wakeBeginsMs);
  }

  /** None of them may be taken for dead. */
  async function hostsAreHeard(): Promise<void> {
    for (const { id, alive } of await cloud.ledger.listHosts()) {
      expect(alive).toBe(true);
      const fencing = cloud.ledger.changeHost({ hostId: id, command: 'fence', reason: 'test', actor: 'test' });
      await expect(fencing).rejects.toMatchObject({ code: 'HOST_ALIVE' });
    }
  }

  test('live a working day as any others, and no host can be fenced', async () => {
    await day(async () => {
      await sleep(plan.lengthMs / 2);
      await hostsAreHeard();
    });
  });

  test.each(later)('and whose clocks are set right, and %s, while they run', async (step) => {
    const [api, worker] = [cloud.apis[0]!, cloud.workers[0]!];
    await day(async () => {
      await sleep(plan.lengthMs * 0.1);
      await Promise.all([clocksAreStepped(cloud, [api, worker], step), sleep(plan.lengthMs / 2).then(hostsAreHeard)]);
    });
  });
});

import { setTimeout as sleep } from 'node:timers/promises';
import { SimulatedCloud } from './cloud';
import { liveADay, type DayPlan } from './day';
import { mishaps } from './mishaps';
import { untilAtRest } from './operator';

jest.setTimeout(300_000);

const size = {
  desktops: 30,
  hosts: 6,
  workers: 2,
  apis: 2,
  desktopMiB: 4_096,
  speed: 20,
  failureRate: 0.01,
  durable: false,
  graceMs: 500,
};
const plan: DayPlan = { lengthMs: 20_000, duplicated: 0.1, delayed: 0.1, longestDelayMs: 1_000 };
/** A machine with other things to do takes its time. */
const restPatienceMs = 120_000;

let cloud: SimulatedCloud;
let events = 0;
beforeAll(async () => {
  cloud = await SimulatedCloud.start(size);
});
afterAll(() => cloud.stop());

/** The operator looks after the desktops while their users work and `mishaps` happen. */
async function day(mishaps: () => Promise<void>) {
  let over = false;
  const onDuty = (async () => {
    while (!over) {
      await untilAtRest(cloud, 0).catch(() => undefined);
      await sleep(1_000);
    }
  })();
  const [report] = await Promise.all([liveADay(cloud, plan), mishaps()]);
  over = true;
  await onDuty;
  events += report.events;
  const standing = await untilAtRest(cloud, restPatienceMs);
  return { report, standing: { ...standing, events: standing.events - cloud.eventsOfMishaps } };
}

test('a working day ends with nothing open and nothing unanswered; no desktop was ever twice, no memory lost', async () => {
  const { report, standing } = await day(async () => undefined);
  expect(await cloud.violations()).toEqual([]);
  expect(standing).toMatchObject({ openOperations: 0, events, notEmpty: 0 });
  expect(report.sent).toBeGreaterThan(report.events);
  expect(standing.wakes).toBeGreaterThanOrEqual(size.desktops);
  expect(standing.saves).toBeGreaterThanOrEqual(size.desktops * 0.9);
});

test('so does one on which a worker and an api are killed, Redis is lost and Postgres is restarted', async () => {
  const { standing } = await day(async () => {
    for (const name of ['a worker is killed', 'an api is killed', 'Redis is lost', 'Postgres is restarted'] as const) {
      await sleep(plan.lengthMs * 0.15);
      await mishaps[name](cloud);
    }
  });
  expect(await cloud.violations()).toEqual([]);
  expect(standing).toMatchObject({ openOperations: 0, events, notEmpty: 0 });
});

test('so does one on which a host vanishes with all that ran on it, is fenced, and comes back', async () => {
  const { standing } = await day(async () => {
    await sleep(plan.lengthMs * 0.3);
    await mishaps['a host vanishes'](cloud);
  });
  expect(await cloud.violations()).toEqual([]);
  expect(standing).toMatchObject({ openOperations: 0, events, notEmpty: 0 });
  expect((await cloud.ledger.listHosts()).filter(({ intent }) => intent !== 'open')).toEqual([]);
});

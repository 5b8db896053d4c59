/** `npm run soak -- [options]`: working days in fast motion on simulated hosts, with mishaps, for as long as is asked for. */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { SimulatedCloud } from './cloud';
import { liveADay } from './day';
import { mishapNames, mishaps } from './mishaps';
import { restPatienceMs, standingOf, wakeStartsMs, untilAtRest } from './operator';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '20' },
    desktops: { type: 'string', default: '1000' },
    hosts: { type: 'string', default: '20' },
    day: { type: 'string', default: '120' },
    calm: { type: 'boolean', default: false },
  },
});

const say = (line: string): void => void process.stdout.write(`${new Date().toISOString().slice(11, 19)} ${line}\n`);

async function main(): Promise<void> {
  const [minutes, desktops, hosts, daySeconds] = [values.minutes, values.desktops, values.hosts, values.day].map(
    Number,
  );
  const plan = { lengthMs: daySeconds! * 1000, duplicated: 0.05, delayed: 0.05, longestDelayMs: 2_000 };
  const cloud = await SimulatedCloud.start({
    desktops: desktops!,
    hosts: hosts!,
    workers: 4,
    apis: 2,
    desktopMiB: 4_096,
    speed: 20,
    failureRate: 0.01,
    durable: true,
    graceMs: 2_000,
  });
  try {
    const end = Date.now() + minutes! * 60_000;
    let events = 0;
    let next = Math.floor(Math.random() * mishapNames.length);
    for (let day = 1; day === 1 || Date.now() < end; day += 1) {
      let over = false;
      const meanwhile = (async () => {
        for (let beat = 1; !over; beat += 1) {
          await sleep(Math.min(10_000, plan.lengthMs / 4));
          await untilAtRest(cloud, 0).catch(() => undefined);
          say(JSON.stringify(await standingOf(cloud)));
          if (values.calm || over || beat % 2 === 1) continue;
          const name = mishapNames[next++ % mishapNames.length]!;
          say(name);
          await mishaps[name](cloud);
        }
      })();
      const { askedForAtMs, begunMs, ...report } = await liveADay(cloud, plan);
      over = true;
      await meanwhile;
      events += report.events;
      const standing = await untilAtRest(cloud, restPatienceMs);
      const violations = await cloud.violations();
      const starts = await wakeStartsMs(cloud, { askedForAtMs, begunMs });
      const wakeStartP99Ms = starts[Math.floor(starts.length * 0.99)];
      say(
        `day ${day} is over: ${JSON.stringify({ ...report, ...standing, wakeStartP99Ms, violations: violations.length })}`,
      );
      if (violations.length > 0 || standing.events !== events + cloud.eventsOfMishaps || standing.notEmpty > 0) {
        throw new Error(
          [`what must not be has happened; ${events + cloud.eventsOfMishaps} events were sent`, ...violations].join(
            '\n',
          ),
        );
      }
    }
  } finally {
    await cloud.stop();
  }
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`the soak failed: ${(error as Error).message}\n`);
    process.exit(1);
  },
);

import { setTimeout as sleep } from 'node:timers/promises';
import { SimulatedCloud, type CloudSize } from '../simulation/cloud';
import { lengthOfDayMs, liveADay } from '../simulation/day';
import { restPatienceMs, standingOf, untilAtRest, wakeStartsMs } from '../simulation/operator';
import { sessionShot } from './events';
import { figure, type Figure } from './figure';
import { hammer } from './hammer';
import { processorMs } from './processor-time';

export interface StormOptions {
  readonly desktops: number;
  /** Of whom the working day is; the other desktops sleep. */
  readonly users: number;
  /** Of the users so many come a second, in the morning of the day. */
  readonly pace: number;
  /** One of the two parts alone; null: both. */
  readonly part: 'sleepers' | 'day' | null;
  readonly runs: number;
  readonly say: (line: string) => void;
}

const size: Omit<CloudSize, 'desktops' | 'hosts' | 'workers' | 'apis'> = {
  desktopMiB: 4_096,
  speed: 20,
  failureRate: 0,
  durable: true,
  graceMs: 3_600_000,
};
/** Desktops whose users come and go while it is measured what an event costs, at most. */
const mostInUse = 500;
const eventsOfARun = 3_000;
const idleMs = 20_000;
const dutyEveryMs = 10_000;

/** Thousands of desktops: what those that sleep cost, whether a storm of disconnects is taken in full, and a working day. */
export async function measureStorm(options: StormOptions): Promise<Found> {
  const { desktops, part } = options;
  const parts = [
    ...(part === 'day' ? [] : [await costOfSleepers(options)]),
    ...(part === 'sleepers' ? [] : [await workingDay(options)]),
  ];
  const more = parts.map((found) => found.more);
  return {
    figures: parts.flatMap(({ figures }) => figures),
    more: Object.assign({ desktops }, ...more) as Found['more'],
  };
}

interface Found {
  readonly figures: readonly Figure[];
  readonly more: Readonly<Record<string, unknown>>;
}

async function costOfSleepers({ desktops, runs, say }: StormOptions): Promise<Found> {
  const cloud = await SimulatedCloud.start({ ...size, desktops, hosts: 1, workers: 0, apis: 1 }, desktops / 10);
  try {
    const api = cloud.apis[0]!;
    const inUse = Math.min(mostInUse, desktops / 10);
    const users = cloud.desktopIds.slice(0, inUse);
    await cloud.dataSource.query(`UPDATE desktops SET machine_state = 'running' WHERE id = ANY ($1)`, [users]);
    const comeAndGo = (count: number) =>
      Array.from({ length: count }, (_, n) =>
        sessionShot(cloud, users[n % inUse]!, Math.floor(n / inUse) % 2 === 0 ? 'connected' : 'disconnected'),
      );
    const msPerEvent = async (): Promise<number> => {
      const used = async () => (await processorMs(api.process.pid!)) + (await processorMs(cloud.postgresPid));
      const before = await used();
      await hammer(api.url, comeAndGo(eventsOfARun));
      return ((await used()) - before) / eventsOfARun;
    };
    await hammer(api.url, comeAndGo(eventsOfARun));
    const few: number[] = [];
    for (let run = 0; run < runs; run += 1) few.push(await msPerEvent());
    await cloud.provision(cloud.desktopIds.slice(desktops / 10));
    const many: number[] = [];
    for (let run = 0; run < runs; run += 1) many.push(await msPerEvent());
    const shown = (values: number[]) => values.map((value) => value.toFixed(3)).join(', ');
    say(
      `processor time of an event, ms: ${shown(few)} with ${desktops / 10} desktops, ${shown(many)} with ${desktops}`,
    );

    await cloud.dataSource.query(`UPDATE desktops SET machine_state = 'running'`);
    await cloud.dataSource.query('VACUUM ANALYZE');
    const leaving = cloud.desktopIds.map((id) => sessionShot(cloud, id, 'disconnected'));
    const { answers, perSecond, p99Ms } = await hammer(api.url, leaving, { atOnce: 500 });
    say(`${desktops} disconnects: ${JSON.stringify(answers)}, ${Math.round(perSecond)}/s, p99 ${p99Ms.toFixed(0)} ms`);

    await cloud.dataSource.query(
      `UPDATE desktops SET machine_state = 'saved', grace_deadline = NULL, absent_since = NULL, absence_cause = NULL`,
    );
    await cloud.dataSource.query('DELETE FROM outbox');
    await cloud.dataSource.query('VACUUM ANALYZE');
    const worker = await cloud.startWorkers(cloud.hostIds);
    await sleep(idleMs / 2); // it is settling in
    const idlePercent: number[] = [];
    for (let run = 0; run < runs; run += 1) {
      const used = () => Promise.all([api, worker].map((one) => processorMs(one.process.pid!)));
      const [before, begunMs] = [await used(), performance.now()];
      await sleep(idleMs);
      const spentMs = performance.now() - begunMs;
      const [ofApi, ofWorker] = (await used()).map((ms, index) => ((ms - before[index]!) / spentMs) * 100);
      say(
        `${desktops} asleep: the api takes ${ofApi!.toFixed(2)} %, the worker ${ofWorker!.toFixed(2)} % of a processor`,
      );
      idlePercent.push(ofApi! + ofWorker!);
    }
    const ratios = many.map((value, index) => value / few[index]!);
    return {
      figures: [figure('perEventRatio10x', '', ratios, 2), figure('idleCpuPercent', '%', idlePercent, 2)],
      more: { accepted: answers[202] ?? 0 },
    };
  } finally {
    await cloud.stop();
  }
}

async function workingDay({ desktops, users, pace, say }: StormOptions): Promise<Found> {
  const many = { desktops, hosts: 20, workers: 4, apis: 2 };
  const cloud = await SimulatedCloud.start({ ...size, ...many, failureRate: 0.01, graceMs: 2_000 });
  try {
    let over = false;
    const onDuty = (async () => {
      while (!over) {
        await sleep(dutyEveryMs);
        await untilAtRest(cloud, 0).catch(() => undefined);
        say(JSON.stringify(await standingOf(cloud)));
      }
    })();
    const plan = {
      lengthMs: lengthOfDayMs(users, pace),
      duplicated: 0.05,
      delayed: 0.05,
      longestDelayMs: 2_000,
      users,
    };
    const { askedForAtMs, begunMs, ...report } = await liveADay(cloud, plan);
    over = true;
    await onDuty;
    const standing = await untilAtRest(cloud, restPatienceMs);
    const violations = await cloud.violations();
    const starts = await wakeStartsMs(cloud, { askedForAtMs, begunMs });
    const at = (share: number) => starts[Math.floor(starts.length * share)] ?? Infinity;
    say(
      `the day of ${users} users: ${JSON.stringify({ ...report, ...standing, violations, startMs: [0.5, 0.9, 0.99].map(at) })}`,
    );
    if (standing.events !== report.events) throw new Error(`of ${report.events} events ${standing.events} are stored`);
    return {
      figures: [figure('wakeStartP99Ms', 'ms', [at(0.99)], 0)],
      more: { invariantsBroken: violations.length + standing.notEmpty, openOperations: standing.openOperations },
    };
  } finally {
    await cloud.stop();
  }
}

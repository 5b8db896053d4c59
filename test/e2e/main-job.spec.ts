import { existsSync } from 'node:fs';
import { backgroundQueue, hostQueue, sessionQueue } from '@dormouse/jobs';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { leftOf, mainJob, type MainJobReport, type RunningDormouse } from '../scenario';
import { TestBed } from '../scenario/test-bed';

jest.setTimeout(240_000);

const mebibyte = 2 ** 20;
const memoryMiB = 256;
const fillMiB = 64;

let bed: TestBed;
let dormouse: RunningDormouse;
let report: MainJobReport;
const steps: string[] = [];

beforeAll(async () => {
  bed = await TestBed.make();
  dormouse = await bed.start();
  report = await mainJob(dormouse, { image: bed.image, memoryMiB, fillMiB, say: (step) => steps.push(step) });
});

afterAll(() => bed?.end());

describe('a desktop that has slept', () => {
  test('remembers what was only in its memory', () => {
    expect(report).toMatchObject({ nonceSame: true, memorySame: true });
  });

  test('has a clock that is right to a second', () => {
    expect(report.clockSkewMs).toBeLessThan(1_000);
  });

  test('gave its memory back while it slept', () => {
    expect(report.memoryFreed).toBe(true);
  });

  test('took less room in the store than it has memory, and no more than QEMU’s own stream', () => {
    expect(report.memoryBytes).toBeGreaterThanOrEqual(memoryMiB * mebibyte);
    expect(report.checkpointBytes).toBeGreaterThan(fillMiB * mebibyte);
    expect(report.checkpointBytes).toBeLessThan(report.streamBytes);
    expect(report.checkpointBytes).toBeLessThan(report.memoryBytes / 2);
  });

  test('stood still for a moment that was measured', () => {
    expect(report.frozenMs).toBeGreaterThan(0);
    expect(report.frozenMs).toBeLessThan(10_000);
  });

  test('asked for pages before all of its memory was back', () => {
    expect(report.pageRequests).toBeGreaterThan(0);
    expect(report.ttrMs).toBeLessThan(report.hydratedMs);
  });
});

describe('a user who returns', () => {
  test('within the grace time has the save called off, and the guest never notices', () => {
    expect(report.cancelledInGrace).toBe(true);
  });

  test('during the capture has the save called off, and nothing is left of it', () => {
    expect(report.cancelledInCapture).toBe(true);
  });

  test('finds a guest that was always there', () => {
    expect(report.longestSilenceMs).toBeLessThan(10_000);
  });
});

test('a pager needs less than 256 MiB', () => {
  expect(report.pagerPeakRssBytes).toBeGreaterThan(0);
  expect(report.pagerPeakRssBytes).toBeLessThan(256 * mebibyte);
});

describe('after all of it', () => {
  test('no machine, no pager and no run directory is left, and no unfinished object', async () => {
    expect(await leftOf(`${bed.dataDir}/run`, 5_000)).toEqual([]);
    expect(existsSync(`${bed.dataDir}/run`)).toBe(true);
    expect(existsSync(`${bed.dataDir}/run/ada`)).toBe(false);
    const objects = await bed.filesBelow('storage');
    const { checkpointId } = await dormouse.api.desktop('ada');
    expect(objects.length).toBeGreaterThan(0);
    expect(objects.filter((path) => !path.includes(`desktops/ada/checkpoints/${checkpointId}/`))).toEqual([]);
  });

  test('no job is left in Redis', async () => {
    const redis = new Redis((await dormouse.services()).redisUrl, { maxRetriesPerRequest: null });
    const [host] = await dormouse.api.hosts();
    for (const name of [hostQueue(host!.id), backgroundQueue(host!.id), sessionQueue]) {
      const queue = new Queue(name, { connection: redis });
      const counts = await queue.getJobCounts();
      expect({ name, jobs: Object.values(counts).reduce((sum, count) => sum + count, 0) }).toEqual({ name, jobs: 0 });
      await queue.close();
    }
    redis.disconnect();
  });

  test('stopping leaves no process', async () => {
    expect(await dormouse.stop()).toBe(0);
    expect(await leftOf(bed.dataDir, 5_000)).toEqual([]);
  });
});

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadConfig, requireServices } from '@dormouse/config';
import { startRedis, type EmbeddedRedis } from '@dormouse/embedded';
import { createLogger, createMetrics } from '@dormouse/observability';
import { Redis } from 'ioredis';
import { startApi, type RunningApi } from '../../apps/api';
import { SharedRates, takeTurn } from '../../apps/api/rates';
import { ApiFixture, problemOf } from './api-fixture';

jest.setTimeout(60_000);

const silent = createLogger('test', loadConfig({ LOG_LEVEL: 'silent' }));

describe('counting', () => {
  let directory: string;
  let server: EmbeddedRedis;
  let redis: Redis;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'dormouse-rates-'));
    server = await startRedis({ directory, log: () => undefined });
    redis = new Redis(server.socketPath, { enableOfflineQueue: false, maxRetriesPerRequest: 0 });
    await new Promise((resolve) => redis.once('ready', resolve));
  });
  afterAll(async () => {
    redis.disconnect();
    await server.stop();
    await rm(directory, { recursive: true });
  });

  async function redisNowUs(): Promise<number> {
    const [seconds, micros] = await redis.time();
    return Number(seconds) * 1e6 + Number(micros);
  }

  async function spentOf(subject: string): Promise<number> {
    return Number((await redis.get(`dormouse:rate:${subject}`)) ?? 0);
  }

  test('in Redis several processes grant together what one would', async () => {
    const processes = [1, 2, 3].map(() => new SharedRates(redis, silent));
    const limit = { perSecond: 1, burst: 50 };
    const waits = await Promise.all(
      Array.from({ length: 90 }, (_, index) => processes[index % 3]!.take('together', limit)),
    );
    expect(waits.filter((waitMs) => waitMs === 0)).toHaveLength(50);
    for (const waitMs of waits.filter((wait) => wait > 0)) {
      expect(waitMs).toBeGreaterThan(0);
      expect(waitMs).toBeLessThanOrEqual(1_000);
    }
  });

  test('who waits as long as Redis said is let through', async () => {
    const rates = new SharedRates(redis, silent);
    const limit = { perSecond: 5, burst: 1 };
    expect(await rates.take('patient', limit)).toBe(0);
    const waitMs = await rates.take('patient', limit);
    expect(waitMs).toBeGreaterThan(100);
    await sleep(waitMs + 1);
    expect(await rates.take('patient', limit)).toBe(0);
  });

  test('in Redis it is the same as in a process', async () => {
    const rates = new SharedRates(redis, silent);
    const limit = { perSecond: 20, burst: 4 };
    let compared = 0;
    for (let tried = 0; tried < 80; tried += 1) {
      const spentUntilUs = await spentOf('same');
      const atFirst = takeTurn(spentUntilUs, await redisNowUs(), limit);
      const thereMs = await rates.take('same', limit);
      const atLast = takeTurn(spentUntilUs, await redisNowUs(), limit);
      // Redis looked at its clock at some moment between the two; on the edge of a turn they differ, and either is right.
      if (atFirst.granted && atLast.granted) {
        expect(thereMs).toBe(0);
        const spentThere = await spentOf('same');
        if (spentThere > 0) {
          expect(spentThere).toBeGreaterThanOrEqual(atFirst.spentUntilUs);
          expect(spentThere).toBeLessThanOrEqual(atLast.spentUntilUs);
          compared += 1;
        }
      } else if (!atFirst.granted && !atLast.granted) {
        expect(thereMs).toBeLessThanOrEqual(atFirst.retryAfterMs);
        expect(thereMs).toBeGreaterThanOrEqual(atLast.retryAfterMs);
        compared += 1;
      }
      await sleep(7);
    }
    expect(compared).toBeGreaterThan(20);
  });

  test('a clock of Redis that was set back by an hour makes nobody wait', async () => {
    const rates = new SharedRates(redis, silent);
    await redis.set('dormouse:rate:ahead', String((await redisNowUs()) + 3_600e6), 'PX', 3_600_000);
    expect(await rates.take('ahead', { perSecond: 5, burst: 5 })).toBe(0);
  });

  test('what nothing is spent of any more is not kept', async () => {
    await new SharedRates(redis, silent).take('forgotten', { perSecond: 100, burst: 1 });
    await sleep(50);
    expect(await redis.exists('dormouse:rate:forgotten')).toBe(0);
  });

  test('a Redis that hangs delays one request by a moment, and is then not waited for', async () => {
    const rates = new SharedRates(redis, silent);
    await redis.call('CLIENT', 'PAUSE', '3000', 'ALL');
    const limit = { perSecond: 1, burst: 3 };
    const begunMs = performance.now();
    const waits = [];
    for (let tried = 0; tried < 5; tried += 1) waits.push(await rates.take('hung', limit));
    expect(performance.now() - begunMs).toBeLessThan(2_500); // five requests that each waited for Redis would take longer
    expect(waits.map((waitMs) => waitMs === 0)).toEqual([true, true, true, false, false]);
  });
});

/** How many a limit lets through between then and now, on a machine of any speed; one more for each of the two apis, which round. */
function mostIn(begunMs: number, { perSecond, burst }: { perSecond: number; burst: number }): number {
  return burst + Math.ceil(((performance.now() - begunMs) / 1000) * perSecond) + 2;
}

describe('two apis behind one address', () => {
  let fixture: ApiFixture;
  let second: RunningApi;
  const quietSecret = `whsec_${randomBytes(32).toString('base64')}`;
  const limits = {
    RATE_LIMIT_KEYS: '1/20',
    RATE_LIMIT_BROKERS: '1/30',
    BROKER_SECRETS: `quiet-broker=${quietSecret}`,
  };

  beforeAll(async () => {
    fixture = await ApiFixture.start(limits);
    const { directory, postgres, redis, keys } = fixture;
    const environment = {
      DATA_DIR: directory,
      DATABASE_URL: postgres.url,
      REDIS_URL: redis.socketPath,
      API_PORT: '0',
      LOG_LEVEL: 'silent',
      ...limits,
    };
    const config = requireServices(loadConfig(environment));
    second = await startApi(config, { keys, logger: silent, metrics: createMetrics('api') });
  });
  afterAll(async () => {
    await second.close();
    await fixture.stop();
  });

  const urls = () => [fixture.api.url, second.url];

  test('let a key in as often together as one would alone; the rest is told when to come again', async () => {
    const { key } = await fixture.client.createApiKey('eager', { scope: 'viewer', reason: 'a test' });
    const begunMs = performance.now();
    const answers: Response[] = [];
    // Four at a time: an api that is busy with many does not hear Redis in time, and counts alone.
    for (let asked = 0; asked < 40; asked += 4) {
      const four = Array.from({ length: 4 }, (_, index) =>
        fetch(`${urls()[index % 2]}/v1/hosts`, { headers: { authorization: `Bearer ${key}` } }),
      );
      answers.push(...(await Promise.all(four)));
    }
    const refused = answers.filter(({ status }) => status === 429);
    expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThanOrEqual(20);
    expect(refused.length).toBeGreaterThanOrEqual(40 - mostIn(begunMs, { perSecond: 1, burst: 20 }));
    for (const answer of refused) {
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
      const problem = await problemOf(answer, 'RATE_LIMITED', 429);
      expect(problem['retryAfterS']).toBe(Number(answer.headers.get('retry-after')));
    }
    const metrics = (await Promise.all(urls().map(async (url) => (await fetch(`${url}/metrics`)).text()))).join('\n');
    const counted = [...metrics.matchAll(/dormouse_rate_limited_total\{.*kind="key".*\} (\d+)/g)];
    expect(counted.reduce((sum, [, count]) => sum + Number(count), 0)).toBe(refused.length);
  });

  test('refuse a broker that sends too much, store nothing of that, and take another one’s webhooks', async () => {
    const send = (source: string, secret?: string) =>
      fixture
        .sendEvent({ type: 'vdc.broker.heartbeat', source, data: {} }, secret)
        .then(({ outcome }) => outcome as string)
        .catch((error: { code: string }) => error.code);
    const lines = await fixture.rows('audit_log');
    // Under ever new names: who has signed counts, which nobody can invent.
    const outcomes = await Promise.all(Array.from({ length: 45 }, (_, index) => send(`loud-broker-${index}`)));
    const taken = outcomes.filter((outcome) => outcome === 'ignored').length;
    expect(taken).toBeGreaterThanOrEqual(30);
    expect(outcomes.filter((outcome) => outcome === 'RATE_LIMITED')).toHaveLength(45 - taken);
    expect(await send('quiet-broker', quietSecret)).toBe('ignored');
    expect(await fixture.rows('inbox_events')).toBe(taken + 1);
    expect(await fixture.rows('audit_log')).toBe(lines);
  });

  test('do not fill the audit log for one who guesses keys', async () => {
    const before = await fixture.rows('audit_log');
    const guess = (index: number) =>
      fetch(`${urls()[index % 2]}/v1/hosts`, { headers: { authorization: `Bearer dm_guess-${index}` } });
    const statuses: number[] = [];
    const begunMs = performance.now();
    for (let round = 0; round < 6; round += 1) {
      const answers = await Promise.all(Array.from({ length: 50 }, (_, index) => guess(round * 50 + index)));
      statuses.push(...answers.map(({ status }) => status));
    }
    const told = statuses.filter((status) => status === 401).length;
    expect(told).toBeLessThanOrEqual(mostIn(begunMs, { perSecond: 5, burst: 200 }));
    expect(statuses.filter((status) => status === 429)).toHaveLength(300 - told);
    // Ten refusals of a kind have a line each in a minute, and the guesses may fall into two.
    const lines = (await fixture.rows('audit_log')) - before;
    expect(lines).toBeGreaterThanOrEqual(10);
    expect(lines).toBeLessThanOrEqual(20);
  });

  test('take webhooks while Redis is away', async () => {
    await fixture.redis.stop();
    for (let sent = 0; sent < 5; sent += 1) {
      const { outcome } = await fixture.sendEvent({ type: 'vdc.broker.heartbeat', source: `lonely-${sent}`, data: {} });
      expect(outcome).toBe('ignored');
    }
  });
});

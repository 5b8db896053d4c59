import { loadConfig } from '@dormouse/config';
import { createLogger } from '@dormouse/observability';
import { DatabaseClock } from './database-clock';

const logger = createLogger('api', loadConfig({ LOG_LEVEL: 'silent' }));
const aDayAgoMs = Date.now() - 86_400_000;

afterEach(() => {
  jest.useRealTimers();
});

test('it is as late as the database says, later as time passes, and another time once the clock of the database was set', async () => {
  jest.useFakeTimers();
  let askedMs = aDayAgoMs;
  const clock = await DatabaseClock.start(() => Promise.resolve(new Date(askedMs)), logger);
  expect(clock.nowMs()).toBeCloseTo(aDayAgoMs, 0);
  await jest.advanceTimersByTimeAsync(1_000);
  expect(clock.nowMs()).toBeCloseTo(aDayAgoMs + 1_000, 0);
  askedMs = aDayAgoMs + 3_600_000;
  await jest.advanceTimersByTimeAsync(5_000);
  expect(clock.nowMs()).toBeGreaterThanOrEqual(askedMs);
  await clock.stop();
});

test('a database that is away is not waited for: time goes on without it', async () => {
  jest.useFakeTimers();
  let isAway = false;
  const ask = (): Promise<Date> => (isAway ? Promise.reject(new Error('away')) : Promise.resolve(new Date(aDayAgoMs)));
  const clock = await DatabaseClock.start(ask, logger);
  isAway = true;
  await jest.advanceTimersByTimeAsync(60_000);
  expect(clock.nowMs()).toBeGreaterThanOrEqual(aDayAgoMs + 55_000);
  await clock.stop();
});

test('an api does not start without having heard what time it is', async () => {
  await expect(DatabaseClock.start(() => Promise.reject(new Error('away')), logger)).rejects.toThrow('away');
});

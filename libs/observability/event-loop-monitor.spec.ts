import { setTimeout as sleep } from 'node:timers/promises';
import { createLogger } from './logger';
import { createMetrics } from './metrics';
import { EventLoopMonitor } from './event-loop-monitor';

function blockFor(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

async function watch(act: (monitor: EventLoopMonitor) => Promise<void> | void) {
  const lines: string[] = [];
  const logger = createLogger('test', { logLevel: 'info', logFormat: 'json' }, { write: (line) => lines.push(line) });
  const metrics = createMetrics('test');
  const monitor = new EventLoopMonitor({ logger, metrics, thresholdMs: 50, intervalMs: 10 });
  await sleep(30);
  await act(monitor);
  await sleep(50);
  monitor.stop();
  const stalls = (await metrics.eventLoopStallSeconds.get()).values.find((value) =>
    value.metricName?.endsWith('_count'),
  );
  return { lines: lines.map((line) => JSON.parse(line) as Record<string, unknown>), stalls: stalls?.value ?? 0 };
}

test('a blocked event loop is logged and counted, with what was in flight', async () => {
  const { lines, stalls } = await watch((monitor) => {
    monitor.track('save desk-1');
    const done = monitor.track('hash desk-2');
    blockFor(150);
    done();
  });
  expect(stalls).toBeGreaterThanOrEqual(1);
  const blocked = lines.find((line) => Number(line['stallMs']) >= 100);
  expect(blocked).toMatchObject({ level: 'warn', inFlight: ['save desk-1', 'hash desk-2'] });
});

test('what ended before the stall is not named', async () => {
  const { lines } = await watch(async (monitor) => {
    monitor.track('earlier')();
    await sleep(30);
    blockFor(150);
  });
  expect(lines.find((line) => Number(line['stallMs']) >= 100)).toMatchObject({ inFlight: [] });
});

import { setTimeout as sleep } from 'node:timers/promises';
import { ProcessorWatch } from './processor-watch';

/** A machine that uses a share of one processor, from the first to the last of these milliseconds, and what is seen of it. */
async function watched(usedMs: (atMs: number) => number | null, forMs: number): Promise<number> {
  const beganMs = performance.now();
  const watch = new ProcessorWatch(() => usedMs(performance.now() - beganMs));
  while (performance.now() - beganMs < forMs) {
    expect(watch.lastBusyMs).toBeLessThanOrEqual(performance.now());
    await sleep(10);
  }
  return watch.lastBusyMs - beganMs;
}

test('a machine that works is busy until it stops', async () => {
  const busyMs = await watched((atMs) => 0.9 * Math.min(atMs, 400), 1_000);
  expect(busyMs).toBeGreaterThan(250);
  expect(busyMs).toBeLessThan(900);
});

test('one that hardly does anything never is', async () => {
  expect(await watched((atMs) => 0.1 * atMs, 500)).toBe(-Infinity);
});

test('nor is one of which nothing is known', async () => {
  expect(await watched(() => null, 300)).toBe(-Infinity);
});

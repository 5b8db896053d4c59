import { ProcessorWatch } from './processor-watch';

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

/** When a machine that has used so much at each moment was last seen to be busy; it is looked at every 10 ms. */
function watched(usedMs: (atMs: number) => number | null, forMs: number): number {
  const beganMs = performance.now();
  const watch = new ProcessorWatch(() => usedMs(performance.now() - beganMs));
  while (performance.now() - beganMs < forMs) {
    expect(watch.lastBusyMs).toBeLessThanOrEqual(performance.now());
    jest.advanceTimersByTime(10);
  }
  return watch.lastBusyMs - beganMs;
}

test('a machine that works is busy until it stops', () => {
  expect(watched((atMs) => 0.9 * Math.min(atMs, 400), 1_000)).toBe(400);
});

test('one that hardly does anything never is', () => {
  expect(watched((atMs) => 0.1 * atMs, 500)).toBe(-Infinity);
});

test('nor is one of which nothing is known', () => {
  expect(watched(() => null, 300)).toBe(-Infinity);
});

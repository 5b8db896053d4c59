import fc from 'fast-check';
import { etaOf, type Standing, type Taken } from './eta';

const nowMs = 1_000_000;
const mib = 2 ** 20;
const save = (changes: Partial<Standing> = {}): Standing => ({
  kind: 'save',
  phase: 'capture',
  status: 'active',
  createdAtMs: nowMs - 10_000,
  startedAtMs: nowMs - 2_000,
  phaseSinceMs: nowMs - 2_000,
  bytes: null,
  ...changes,
});
const restore = (changes: Partial<Standing> = {}) => save({ kind: 'restore', phase: 'wake', ...changes });
const took = (workMs: number, readyMs: number | null = null, bytes: number | null = 100 * mib): Taken => ({
  readyMs,
  workMs,
  bytes,
});

test('where nothing has been learned and nothing moves, nothing is said', () => {
  expect(etaOf(save(), [], nowMs)).toEqual({ readyMs: null, doneMs: null });
  expect(etaOf(restore(), [], nowMs)).toEqual({ readyMs: null, doneMs: null });
});

test('what earlier ones took is what is expected; one that took very long does not count for much', () => {
  expect(etaOf(save(), [took(5_000), took(6_000), took(900_000)], nowMs).doneMs).toBe(4_000);
  expect(etaOf(save({ status: 'pending', startedAtMs: null }), [took(5_000)], nowMs).doneMs).toBe(5_000);
  expect(etaOf(save(), [took(1_000)], nowMs).doneMs).toBe(0);
});

test('twice the memory takes twice as long', () => {
  const bytes = { done: 0, total: 200 * mib };
  expect(etaOf(save({ bytes }), [took(5_000)], nowMs).doneMs).toBe(8_000);
});

test('the further one is, the more its own pace counts', () => {
  // 2 s for a quarter: 6 s at its own pace; 3/4 of 4 s at the learned one.
  expect(etaOf(save({ bytes: { done: 25 * mib, total: 100 * mib } }), [took(4_000)], nowMs).doneMs).toBe(3_750);
  expect(etaOf(save({ bytes: { done: 25 * mib, total: 100 * mib } }), [], nowMs).doneMs).toBe(6_000);
  expect(etaOf(save({ bytes: { done: mib / 2, total: 100 * mib } }), [], nowMs).doneMs).toBeNull();
  expect(etaOf(save({ bytes: { done: 100 * mib, total: 100 * mib } }), [took(4_000)], nowMs).doneMs).toBe(0);
});

test('a wake is ready long before it is done, and ready when its memory still comes', () => {
  const earlier = [took(20_000, 11_500)];
  expect(etaOf(restore(), earlier, nowMs)).toEqual({ readyMs: 1_500, doneMs: 21_500 });
  const hydrating = restore({ phase: 'hydrate', bytes: { done: 50 * mib, total: 100 * mib } });
  expect(etaOf(hydrating, earlier, nowMs)).toEqual({ readyMs: 0, doneMs: 6_000 });
});

test('a boot is known by what it took to answer', () => {
  const boot = save({ kind: 'boot', phase: 'boot' });
  expect(etaOf(boot, [took(25_000, 30_000, null)], nowMs)).toEqual({ readyMs: 20_000, doneMs: 23_000 });
});

test('whatever was learned and however far it is, the rest is a time, and none when all is there', () => {
  const time = fc.integer({ min: 0, max: 10 ** 7 });
  const taken = fc.record({
    workMs: time,
    readyMs: fc.option(time),
    bytes: fc.option(fc.oneof(fc.constant(0), fc.integer({ min: mib, max: 2 ** 40 }))),
  });
  const bytes = fc
    .integer({ min: 1, max: 2 ** 40 })
    .chain((total) => fc.record({ done: fc.integer({ min: 0, max: 2 * total }), total: fc.constant(total) }));
  fc.assert(
    fc.property(fc.array(taken), bytes, time, (earlier, moved, sinceMs) => {
      const { doneMs } = etaOf(save({ bytes: moved, phaseSinceMs: nowMs - sinceMs }), earlier, nowMs);
      if (doneMs !== null) expect(Number.isSafeInteger(doneMs) && doneMs >= 0).toBe(true);
      if (moved.done >= moved.total) expect(doneMs).toBe(0);
    }),
  );
});

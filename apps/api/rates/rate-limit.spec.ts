import fc from 'fast-check';
import { takeTurn, type RateLimit } from './rate-limit';

/** Which of these tries, in microseconds, are granted. */
function granted(tries: readonly number[], limit: RateLimit): boolean[] {
  let spentUntilUs = 0;
  return tries.map((nowUs) => {
    const turn = takeTurn(spentUntilUs, nowUs, limit);
    if (turn.granted) spentUntilUs = turn.spentUntilUs;
    return turn.granted;
  });
}

const second = 1e6;
const start = 1_700_000_000 * second;

test('a burst is granted in full and not one more, then one for each turn of time', () => {
  const limit = { perSecond: 10, burst: 3 };
  const atOnce = Array<number>(5).fill(start);
  expect(granted(atOnce, limit)).toEqual([true, true, true, false, false]);
  expect(granted([...atOnce, start + 99_000, start + 100_000, start + 100_001], limit)).toEqual([
    ...[true, true, true, false, false],
    ...[false, true, false],
  ]);
});

test('who waits as long as was said is let through, and not before', () => {
  const limit = fc.record({ perSecond: fc.integer({ min: 1, max: 5_000 }), burst: fc.integer({ min: 1, max: 50 }) });
  fc.assert(
    fc.property(limit, (one) => {
      let spentUntilUs = 0;
      for (let taken = 0; ; taken += 1) {
        const turn = takeTurn(spentUntilUs, start, one);
        if (turn.granted) {
          spentUntilUs = turn.spentUntilUs;
          continue;
        }
        expect(taken).toBe(one.burst);
        expect(takeTurn(spentUntilUs, start + turn.retryAfterMs * 1000, one).granted).toBe(true);
        expect(takeTurn(spentUntilUs, start + (turn.retryAfterMs - 1) * 1000 - 1, one).granted).toBe(false);
        return;
      }
    }),
  );
});

test('several turns are taken together or not at all, and more than a burst are a burst', () => {
  const limit = { perSecond: 10, burst: 3 };
  const two = takeTurn(0, start, limit, 2);
  expect(two).toEqual({ granted: true, spentUntilUs: start + 200_000 });
  expect(takeTurn(start + 200_000, start, limit, 2)).toEqual({ granted: false, retryAfterMs: 100 });
  expect(takeTurn(0, start, limit, 1_000)).toEqual({ granted: true, spentUntilUs: start + 300_000 });
});

test('whatever the clock does, nobody waits for longer than a burst takes', () => {
  const limits = fc.record({ perSecond: fc.integer({ min: 1, max: 5_000 }), burst: fc.integer({ min: 1, max: 50 }) });
  const steps = fc.integer({ min: -86_400 * second, max: 86_400 * second });
  fc.assert(
    fc.property(limits, steps, fc.integer({ min: 1, max: 60 }), (limit, stepUs, asked) => {
      let spentUntilUs = 0;
      for (let n = 0; n < asked; n += 1) {
        const turn = takeTurn(spentUntilUs, start, limit);
        if (turn.granted) spentUntilUs = turn.spentUntilUs;
      }
      const turn = takeTurn(spentUntilUs, start + stepUs, limit);
      const burstMs = (limit.burst * 1_000) / limit.perSecond;
      if (!turn.granted) expect(turn.retryAfterMs).toBeLessThanOrEqual(burstMs + 1_001);
    }),
  );
});

test('in no span of time are more granted than the burst and the rate allow', () => {
  const gaps = fc.array(fc.integer({ min: 0, max: 300_000 }), { minLength: 1, maxLength: 200 });
  const limit = fc.record({ perSecond: fc.integer({ min: 1, max: 50 }), burst: fc.integer({ min: 1, max: 20 }) });
  fc.assert(
    fc.property(gaps, limit, (pauses, one) => {
      let now = start;
      const tries = pauses.map((pause) => (now += pause));
      const times = tries.filter((_, at) => granted(tries, one)[at]);
      times.forEach((from, first) => {
        times.slice(first).forEach((until, count) => {
          expect(count + 1).toBeLessThanOrEqual(one.burst + ((until - from) / second) * one.perSecond + 1e-6);
        });
      });
    }),
    { numRuns: 50 },
  );
});

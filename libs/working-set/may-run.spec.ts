import fc from 'fast-check';
import { mayRun } from './may-run';

const ranks = (...values: number[]): Uint32Array => Uint32Array.from(values);

test('a guest runs once its whole wake set has come, however slowly', () => {
  expect(mayRun(ranks(0, 0, 0), 3, 0)).toBe(true);
  expect(mayRun(ranks(), 0, 0)).toBe(true);
});

test('it waits for a page that is wanted at once', () => {
  expect(mayRun(ranks(0, 0), 1, 1_000)).toBe(false);
});

test('it does not wait for what comes before it is wanted', () => {
  // At one page a millisecond the next three are there after 1, 2 and 3 ms; they are wanted twice as soon as they were.
  expect(mayRun(ranks(0, 2, 4, 6), 1, 1)).toBe(true);
  expect(mayRun(ranks(0, 2, 4, 5), 1, 1)).toBe(false);
});

test('as long as nothing has come there is no pace to go by', () => {
  expect(mayRun(ranks(1_000_000), 0, 0)).toBe(false);
  expect(mayRun(ranks(1_000_000), 0, NaN)).toBe(false);
});

test('a faster store never makes a guest wait longer', () => {
  const rising = fc.array(fc.nat(500), { minLength: 1, maxLength: 40 }).map((all) => all.sort((a, b) => a - b));
  fc.assert(
    fc.property(rising, fc.nat(40), fc.double({ min: 0.01, max: 100, noNaN: true }), (all, come, pace) => {
      const wanted = Uint32Array.from(all);
      const so = Math.min(come, all.length);
      return !mayRun(wanted, so, pace) || mayRun(wanted, so, pace * 2);
    }),
  );
});

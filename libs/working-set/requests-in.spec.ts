import { requestsIn } from './requests-in';

const lists = (...rows: [page: number, atUs: number, stallUs: number][]) => ({
  pages: Uint32Array.from(rows, ([page]) => page),
  atUs: Uint32Array.from(rows, ([, at]) => at),
  stallUs: Uint32Array.from(rows, ([, , stall]) => stall),
});

test('the time a guest has waited for pages is not its own', () => {
  // It runs for 1 ms, waits for 4, runs for 2, waits for 1, runs for 1.
  expect(requestsIn(lists([7, 1_000, 4_000], [8, 7_000, 1_000], [9, 9_000, 500]))).toEqual([
    { page: 7, atMs: 1 },
    { page: 8, atMs: 3 },
    { page: 9, atMs: 4 },
  ]);
});

test('two processors that wait at the same time have waited once', () => {
  expect(requestsIn(lists([7, 1_000, 4_000], [8, 2_000, 4_000], [9, 7_000, 10]))).toEqual([
    { page: 7, atMs: 1 },
    { page: 8, atMs: 1 },
    { page: 9, atMs: 2 },
  ]);
});

test('a request that was answered after a later one is not before the beginning', () => {
  expect(requestsIn(lists([7, 100, 10], [8, 0, 500])).map(({ atMs }) => atMs)).toEqual([0.1, 0]);
});

import { BatchSize } from './batch-size';

test('a guest that rests gets twice as much each time, up to the most', () => {
  const batch = new BatchSize({ least: 1, most: 64 });
  expect(Array.from({ length: 8 }, () => batch.next(0))).toEqual([2, 4, 8, 16, 32, 64, 64, 64]);
});

test('one that faults gets as little as possible', () => {
  const batch = new BatchSize({ least: 1, most: 64 });
  for (let n = 0; n < 8; n++) batch.next(0);
  expect([batch.next(1), batch.next(5), batch.next(5)]).toEqual([1, 1, 2]);
});

test('a size that is fixed stays', () => {
  const batch = new BatchSize({ least: 4, most: 4 });
  expect([batch.next(0), batch.next(3), batch.next(3)]).toEqual([4, 4, 4]);
});

import { framePages } from '@dormouse/checkpoint';
import { MemoryTaking } from './memory-taking';

const chunkOf = (page: number): number => Math.floor(page / framePages);
const asks = (pages: readonly number[]): boolean[] => {
  const taking = new MemoryTaking();
  return pages.map((page) => taking.asked(page, chunkOf(page)));
};

test('a guest that asks for pages here and there takes no memory', () => {
  expect(asks([4, 900, 5, 12, 77, 14, 78, 3])).not.toContain(true);
});

test('three neighbours in either direction show that it does, whatever it asks for in between', () => {
  expect(asks([808, 807, 806]).at(-1)).toBe(true);
  expect(asks([806, 9_000, 807, 50, 808])).toEqual([false, false, false, false, true]);
});

test('from there on it goes on with the first page of what lies beside', () => {
  // As Linux refills the list of a processor: fifteen pages, from the last to the first, and then the fifteen above.
  expect(asks([814, 813, 812, 829, 844, 859])).toEqual([false, false, true, true, true, true]);
});

test('elsewhere it has to begin anew', () => {
  expect(asks([814, 813, 812, 9_000, 9_001])).toEqual([false, false, true, false, false]);
});

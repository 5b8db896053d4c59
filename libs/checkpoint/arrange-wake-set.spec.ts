import { arrangeWakeSet } from './arrange-wake-set';
import { noPage, segmentPages } from './layout';

const order = (pages: number[], onTrial = 0) => ({
  pages: Uint32Array.from(pages),
  ranksMs: Uint32Array.from(pages, (_, n) => 10 + n),
  onTrial,
});
const always = (): boolean => true;
const used = (pages: Uint32Array): number[] => [...pages].filter((page) => page !== noPage);

test('without wake pages all is compressed now, in its order', () => {
  const chosen = order([5, 3, 4], 1);
  expect(arrangeWakeSet(chosen, null, always)).toEqual({ fresh: chosen.pages, order: chosen });
});

test('what is in the wake pages and chosen as it was is not compressed again', () => {
  const ahead = order([5, 3, 4], 1);
  expect(arrangeWakeSet(order([5, 3, 4], 1), ahead, always)).toEqual({ fresh: new Uint32Array(0), order: ahead });
});

test('a page that changed, or was chosen late, comes first; one that was not chosen in the end has no place', () => {
  const { fresh, order: whole } = arrangeWakeSet(order([9, 5, 3], 1), order([5, 3, 4, 6], 2), (page) => page !== 3);
  expect(used(fresh)).toEqual([9, 3]);
  expect(fresh).toHaveLength(segmentPages);
  expect([...whole.pages.subarray(segmentPages)]).toEqual([5, noPage, noPage, noPage]);
  expect(whole.pages.subarray(0, segmentPages)).toEqual(fresh);
  expect([...whole.ranksMs]).toEqual([...new Array<number>(segmentPages).fill(0), 10, 11, 12, 13]);
  expect(whole.onTrial).toBe(2);
});

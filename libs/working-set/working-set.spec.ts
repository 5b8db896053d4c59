import fc from 'fast-check';
import { isDormouseError } from '@dormouse/errors';
import {
  choose,
  decodeWorkingSet,
  encodeWorkingSet,
  learn,
  nothingKnown,
  strongestTrust,
  type WakeTrace,
  type WorkingSet,
} from '@dormouse/working-set';

const untouched = { written: () => false, rewritten: [] };

/** A guest that wants the same pages after each wake: it asks for those that were not sent ahead, in its own order. */
function wake(set: WorkingSet, wanted: readonly number[], mostPages = 1_000): { trace: WakeTrace; missed: number[] } {
  const { ahead, withheld } = choose(set, mostPages);
  const there = new Set(ahead);
  const missed = wanted.filter((page) => !there.has(page));
  return { trace: { ahead, withheld, requests: missed.map((page, n) => ({ page, atMs: n * 2 })) }, missed };
}

test('a page that was missed joins, in the order in which the guest asked', () => {
  const { trace } = wake(nothingKnown, [70, 3, 500]);
  expect([...choose(learn(nothingKnown, trace, untouched), 10).ahead]).toEqual([70, 3, 500]);
});

test('a page that was asked for late is sent ahead once it has been asked for twice, and otherwise forgotten', () => {
  const late = (page: number): WakeTrace['requests'] => [{ page, atMs: 1_700 }];
  const first = learn(
    nothingKnown,
    { ahead: Uint32Array.of(), withheld: Uint32Array.of(), requests: [...late(4), ...late(5)] },
    untouched,
  );
  const { ahead, withheld } = choose(first, 10);
  expect([[...ahead], [...withheld]]).toEqual([[], [4, 5]]);
  const second = learn(first, { ahead, withheld, requests: late(4) }, { written: (page) => page === 5, rewritten: [] });
  const next = choose(second, 10);
  expect([[...next.ahead], [...next.withheld]]).toEqual([[4], []]);
});

test('a guest that never stops asking is still waking, but not for ever', () => {
  const asked = (atMs: number): number[] => {
    const times = Array.from({ length: Math.ceil(atMs / 200) + 1 }, (_, n) => Math.min(n * 200, atMs));
    const requests = times.map((at, n) => ({ page: 100 + n, atMs: at }));
    const trace = { ahead: Uint32Array.of(), withheld: Uint32Array.of(), requests };
    return [...choose(learn(nothingKnown, trace, untouched), 100).ahead];
  };
  expect(asked(1_700)).toContain(100 + 9);
  expect(asked(6_000)).toEqual(Array.from({ length: 20 }, (_, n) => 100 + n));
});

test('of the pages the guest was writing to when it froze the first wake set is made', () => {
  const set = learn(nothingKnown, null, { written: () => true, rewritten: [9, 4] });
  expect(new Set(choose(set, 10).ahead)).toEqual(new Set([9, 4]));
});

test('a wrong guess is left out after two wakes and forgotten after the third', () => {
  let set = learn(nothingKnown, null, { written: () => true, rewritten: [8] });
  const fates: string[] = [];
  for (let n = 0; n < 4; n++) {
    const { ahead, withheld } = choose(set, 10);
    fates.push(ahead.length > 0 ? 'ahead' : withheld.length > 0 ? 'withheld' : 'forgotten');
    set = learn(set, { ahead, withheld, requests: [] }, untouched);
  }
  expect(fates).toEqual(['ahead', 'ahead', 'withheld', 'forgotten']);
});

test('a page that is written to after every wake is sent ahead for ever', () => {
  let set = learn(nothingKnown, null, { written: () => true, rewritten: [8] });
  for (let n = 0; n < 50; n++) {
    const { ahead, withheld } = choose(set, 10);
    expect([...ahead]).toEqual([8]);
    set = learn(set, { ahead, withheld, requests: [] }, { written: (page) => page === 8, rewritten: [] });
  }
});

test('a page that is wanted every time is asked for ever more rarely', () => {
  let set = nothingKnown;
  const askedIn: number[] = [];
  for (let n = 0; n < 150; n++) {
    const { trace, missed } = wake(set, [12]);
    if (missed.length > 0) askedIn.push(n);
    set = learn(set, trace, untouched);
  }
  const pauses = askedIn.slice(1).map((n, k) => n - askedIn[k]!);
  expect(pauses).toEqual([...pauses].sort((one, other) => one - other));
  expect(pauses.at(-1)).toBe(strongestTrust + 2);
});

test('what was learned together is not put to the test together', () => {
  const wanted = Array.from({ length: 3_200 }, (_, n) => n);
  let set = learn(nothingKnown, wake(nothingKnown, [0], 10_000).trace, untouched);
  const asked: number[] = [];
  for (let n = 0; n < 60; n++) {
    const { trace, missed } = wake(set, wanted, 10_000);
    asked.push(missed.length);
    const requests = missed.map((page, k) => ({ page, atMs: k / 10 }));
    set = learn(set, { ...trace, requests }, untouched);
  }
  expect(asked[0]).toBe(3_199);
  expect(Math.max(...asked.slice(1))).toBe(100);
});

test('of the pages that are doubtful those that were wanted last are put to the test first', () => {
  const members = Array.from({ length: 40 }, (_, n) => ({ page: n, rankMs: n * 5, trust: 2, doubt: 3 }));
  const { ahead, onTrial, withheld } = choose({ members }, 100);
  expect([...onTrial]).toEqual(Array.from({ length: 16 }, (_, n) => 24 + n));
  expect(withheld).toEqual(onTrial);
  expect(ahead).toHaveLength(24);
  expect(choose({ members }, 20).ahead).toHaveLength(4);
  expect(choose({ members }, 10)).toMatchObject({ ahead: new Uint32Array(0), onTrial: { length: 10 } });
});

test('a page that is wanted no more leaves in the end, whoever else is doubtful', () => {
  const wanted = Array.from({ length: 300 }, (_, n) => n);
  let set = learn(nothingKnown, wake(nothingKnown, wanted).trace, untouched);
  for (let n = 0; n < 40; n++) set = learn(set, wake(set, []).trace, untouched);
  expect(set.members).toEqual([]);
});

test('a full wake set holds those with the best evidence, and the others are not judged by it', () => {
  const known: WorkingSet = {
    members: [
      { page: 1, rankMs: 5, trust: 8, doubt: 0 },
      { page: 2, rankMs: 1, trust: 1, doubt: 1 },
      { page: 3, rankMs: 3, trust: 4, doubt: 0 },
    ],
  };
  const { ahead, withheld } = choose(known, 2);
  expect([...ahead]).toEqual([3, 1]);
  const { members } = learn(known, { ahead, withheld, requests: [] }, untouched);
  expect(members.find(({ page }) => page === 2)).toEqual(known.members[1]);
});

test('whatever a guest wants, the second wake of the same use misses nothing, and what is unwanted stays out', () => {
  const pages = fc.uniqueArray(fc.nat(5_000), { maxLength: 300 });
  fc.assert(
    fc.property(pages, pages, (wanted, guessed) => {
      const first = learn(nothingKnown, null, { written: () => true, rewritten: guessed });
      let set = first;
      for (let n = 0; n < 3; n++) set = learn(set, wake(set, wanted).trace, untouched);
      const { trace } = wake(set, wanted);
      const unwanted = guessed.filter((page) => !wanted.includes(page));
      expect(unwanted.some((page) => trace.ahead.includes(page))).toBe(false);
      const second = learn(first, wake(first, wanted).trace, untouched);
      const missed = wake(second, wanted).missed.filter((page) => !guessed.includes(page));
      expect(missed).toEqual([]);
    }),
  );
});

test('a working set is read as it was written, and anything else is refused', () => {
  const member = fc
    .record({ rankMs: fc.nat(), trust: fc.integer({ min: 1, max: strongestTrust }), doubt: fc.nat() })
    .map(({ trust, doubt, rankMs }) => ({ rankMs, trust, doubt: doubt % (trust + 2) }));
  const sets = fc
    .array(member, { maxLength: 60 })
    .map((members) => ({ members: members.map((one, page) => ({ page: page * 3, ...one })) }));
  fc.assert(fc.property(sets, (set) => expect(decodeWorkingSet(encodeWorkingSet(set), 200)).toEqual(set)));
  const anything = fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes));
  fc.assert(
    fc.property(anything, (bytes) => {
      try {
        expect(encodeWorkingSet(decodeWorkingSet(bytes, 2 ** 32)).length).toBe(bytes.length);
      } catch (error) {
        if (!isDormouseError(error, 'CHECKPOINT_CORRUPT')) throw error;
      }
    }),
  );
});

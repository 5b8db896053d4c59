import fc from 'fast-check';
import { reasonsToKeep, toCondemn, type CheckpointStanding, type RetentionPolicy } from './retention';

const nowMs = 1_000_000;

/** Saved this long ago; nothing keeps it but what is said. */
function saved(id: string, agoMs: number, more: Partial<CheckpointStanding> = {}): CheckpointStanding {
  return {
    id,
    durableAtMs: nowMs - agoMs,
    restoredAtMs: null,
    pinned: false,
    current: false,
    waking: false,
    ...more,
  };
}

const three = [saved('old', 3_000), saved('mid', 2_000), saved('new', 1_000, { current: true })];

test('the newest are kept, as many as the policy says', () => {
  expect(toCondemn(three, { keepCheckpoints: 2 }, nowMs)).toEqual(['old']);
  expect(toCondemn(three, { keepCheckpoints: 1 }, nowMs)).toEqual(['mid', 'old']);
  expect(toCondemn(three, { keepCheckpoints: 3 }, nowMs)).toEqual([]);
});

test('one that is young enough is kept besides, up to the very millisecond', () => {
  expect(toCondemn(three, { keepCheckpoints: 1, keepCheckpointsForMs: 3_000 }, nowMs)).toEqual(['old']);
  expect(toCondemn(three, { keepCheckpoints: 1, keepCheckpointsForMs: 3_001 }, nowMs)).toEqual([]);
  expect(toCondemn(three, { keepCheckpoints: 1, keepCheckpointsForMs: 3_001 }, nowMs + 1)).toEqual(['old']);
});

test.each([
  ['pinned', { pinned: true }],
  ['being woken', { waking: true }],
  ['the current one, though newer ones are kept', { current: true }],
] as const)('an old one stays while it is %s', (_, why) => {
  const checkpoints = [saved('old', 9_000, why), saved('mid', 2_000), saved('new', 1_000)];
  expect(toCondemn(checkpoints, { keepCheckpoints: 1 }, nowMs)).toEqual(['mid']);
});

test('the last one that was woken stays until another one is', () => {
  const proven = saved('proven', 9_000, { restoredAtMs: nowMs - 8_000 });
  expect(toCondemn([proven, ...three], { keepCheckpoints: 1 }, nowMs)).toEqual(['mid', 'old']);
  const later = saved('later', 8_000, { restoredAtMs: nowMs - 500 });
  expect(toCondemn([proven, later, ...three], { keepCheckpoints: 1 }, nowMs)).toEqual(['mid', 'old', 'proven']);
});

test('every reason is told', () => {
  const checkpoints = [saved('a', 100, { current: true, restoredAtMs: nowMs }), saved('b', 900, { pinned: true })];
  const reasons = reasonsToKeep(checkpoints, { keepCheckpoints: 1, keepCheckpointsForMs: 500 }, nowMs);
  expect([...reasons]).toEqual([
    ['a', ['current', 'newest', 'young', 'last-restored']],
    ['b', ['pinned']],
  ]);
});

describe('whatever a desktop’s checkpoints are like', () => {
  const standing = fc.record({
    id: fc.uuid(),
    durableAtMs: fc.integer({ min: 0, max: 50 }),
    restoredAtMs: fc.option(fc.integer({ min: 0, max: 60 })),
    pinned: fc.boolean(),
    current: fc.boolean(),
    waking: fc.boolean(),
  });
  const checkpoints = fc.uniqueArray(standing, { selector: ({ id }) => id, maxLength: 12 });
  const policy: fc.Arbitrary<RetentionPolicy> = fc.record(
    { keepCheckpoints: fc.integer({ min: 1, max: 5 }), keepCheckpointsForMs: fc.integer({ min: 0, max: 60 }) },
    { requiredKeys: ['keepCheckpoints'] },
  );
  const time = fc.integer({ min: 0, max: 80 });

  function holds(claim: (all: CheckpointStanding[], policy: RetentionPolicy, at: number) => void): void {
    fc.assert(fc.property(checkpoints, policy, time, claim), { numRuns: 1_000 });
  }

  /** What stays when the rule is applied. */
  function left(all: readonly CheckpointStanding[], policyNow: RetentionPolicy, at: number): CheckpointStanding[] {
    const condemned = toCondemn(all, policyNow, at);
    return all.filter(({ id }) => !condemned.includes(id));
  }

  test('what is current, pinned or being woken stays', () => {
    holds((all, policyNow, at) => {
      const condemned = new Set(toCondemn(all, policyNow, at));
      for (const one of all) if (one.current || one.pinned || one.waking) expect(condemned.has(one.id)).toBe(false);
    });
  });

  test('no fewer than asked for stay, and what goes is older than what stays for its age alone', () => {
    holds((all, policyNow, at) => {
      const kept = left(all, policyNow, at);
      expect(kept.length).toBeGreaterThanOrEqual(Math.min(policyNow.keepCheckpoints, all.length));
      for (const id of toCondemn(all, policyNow, at)) {
        const { durableAtMs } = all.find((one) => one.id === id)!;
        expect(kept.filter((one) => one.durableAtMs >= durableAtMs).length).toBeGreaterThanOrEqual(
          policyNow.keepCheckpoints,
        );
        expect(at - durableAtMs).toBeGreaterThanOrEqual(policyNow.keepCheckpointsForMs ?? 0);
      }
    });
  });

  test('a desktop that has a checkpoint which was woken once keeps one, and it is the last of them', () => {
    holds((all, policyNow, at) => {
      const last = Math.max(...all.map(({ restoredAtMs }) => restoredAtMs ?? -1));
      if (last < 0) return;
      expect(left(all, policyNow, at).some(({ restoredAtMs }) => restoredAtMs === last)).toBe(true);
    });
  });

  test('to apply the rule again changes nothing, and the order they are listed in does not matter', () => {
    holds((all, policyNow, at) => {
      expect(toCondemn(left(all, policyNow, at), policyNow, at)).toEqual([]);
      expect(toCondemn([...all].reverse(), policyNow, at)).toEqual(toCondemn(all, policyNow, at));
    });
  });

  test('time and a stricter policy only ever take away', () => {
    holds((all, policyNow, at) => {
      const { keepCheckpoints, keepCheckpointsForMs = 0 } = policyNow;
      const now = toCondemn(all, policyNow, at);
      expect(toCondemn(all, policyNow, at + 10)).toEqual(expect.arrayContaining([...now]));
      if (keepCheckpoints === 1 || keepCheckpointsForMs === 0) return;
      const stricter = { keepCheckpoints: keepCheckpoints - 1, keepCheckpointsForMs: keepCheckpointsForMs - 1 };
      expect(toCondemn(all, stricter, at)).toEqual(expect.arrayContaining([...now]));
    });
  });
});

import assert from 'node:assert/strict';
import { happeningsOf, type Happening } from './happenings-fixture';
import { World } from './world-fixture';

/** Sequences that are tried; `SEQUENCES` and `SEED` in the environment try more, or one again. */
const sequences = Number(process.env['SEQUENCES'] ?? 60_000);
const firstSeed = Number(process.env['SEED'] ?? 1);

function failureOf(happenings: readonly Happening[]): Error | null {
  const world = new World();
  try {
    for (const next of happenings) world.happens(next);
    world.comesToRest();
    return null;
  } catch (error) {
    return error as Error;
  }
}

/** Leaves out whatever the failure does not need. */
function shortest(happenings: readonly Happening[]): readonly Happening[] {
  for (let size = Math.ceil(happenings.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < happenings.length;) {
      const without = [...happenings.slice(0, at), ...happenings.slice(at + size)];
      if (failureOf(without) === null) at += size;
      else happenings = without;
    }
  }
  return happenings;
}

test(
  'no sequence of events, faults and clock steps breaks an invariant, and all of them come to rest',
  () => {
    for (let seed = firstSeed; seed < firstSeed + sequences; seed += 1) {
      const happenings = happeningsOf(seed);
      if (failureOf(happenings) === null) continue;
      const short = shortest(happenings);
      assert.fail(
        `SEED=${seed} SEQUENCES=1 shows it again: ${failureOf(short)?.message}\n${JSON.stringify(short, null, 1)}`,
      );
    }
  },
  5 * 60_000,
);

test('a sequence that breaks one is made as short as it gets', () => {
  const noise: Happening[] = Array.from({ length: 40 }, () => ({ do: 'wait', ms: 1 }));
  const broken = { do: 'break' } as unknown as Happening;
  expect(shortest([...noise, broken, ...noise])).toEqual([broken]);
});

test('the sequences get everywhere: each state, each way an operation ends, each reason to wait', () => {
  const unseen = new Set(World.everythingToSee);
  for (let seed = 1; seed <= 20_000 && unseen.size > 0; seed += 1) {
    const world = new World();
    for (const next of happeningsOf(seed)) world.happens(next);
    world.comesToRest();
    for (const one of world.seen) unseen.delete(one);
  }
  expect([...unseen]).toEqual([]);
});

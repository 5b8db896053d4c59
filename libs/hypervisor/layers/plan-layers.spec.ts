import fc from 'fast-check';
import { parseLayerName } from './layer-names';
import { planLayers, type LayerPlan } from './plan-layers';
import type { FoundLayer, LayerSurvey } from './survey-layers';

const MiB = 2 ** 20;
const old = 1_000;
const ages = { unneededBeforeMs: 5_000, abandonedBeforeMs: 5_000 };
const young = 9_000;

function layer(generation: string, below: string | null, about: Partial<FoundLayer> = {}): FoundLayer {
  const file = `${generation}.0.qcow2`;
  const belowFile = below === null ? null : `${below}.0.qcow2`;
  return { file, ...parseLayerName(file)!, below: belowFile, bytes: MiB, modifiedAtMs: old, ...about };
}

const plan = (layers: FoundLayer[], held: string[]): LayerPlan =>
  planLayers({ layers, unfinished: [] }, new Set(held), ages);
const names = (files: readonly { file: string }[]): string[] => files.map(({ file }) => file.replace('.0.qcow2', ''));

/** a ← b ← c … */
const chain = (...generations: string[]): FoundLayer[] =>
  generations.map((generation, n) => layer(generation, generations[n - 1] ?? null));

test('what lies below a held layer stays, what lies on it or beside it goes', () => {
  const layers = [...chain('a', 'b', 'c', 'd'), layer('beside', 'b')];
  expect(names(plan(layers, ['c']).remove)).toEqual(expect.arrayContaining(['d', 'beside']));
  expect(plan(layers, ['c']).remove).toHaveLength(2);
});

test('an upper layer goes before the one it lies on', () => {
  expect(names(plan(chain('a', 'b', 'c', 'd'), []).remove)).toEqual(['d', 'c', 'b', 'a']);
});

test('what was modified lately waits for its grace', () => {
  const layers = [layer('a', null, { modifiedAtMs: young }), layer('b', null)];
  const { remove, waiting } = plan(layers, []);
  expect([names(remove), names(waiting)]).toEqual([['b'], ['a']]);
});

test('a layer made ahead stays for as long as the generation it lies on is held', () => {
  const layers = [layer('a', null), layer('a.next', 'a')];
  expect(plan(layers, ['a']).remove).toEqual([]);
  expect(names(plan(layers, ['b']).remove)).toEqual(['a.next', 'a']);
});

test('unfinished files go after the grace, and layers of other disks are chains of their own', () => {
  const unfinished = [{ file: 'a.0.qcow2.new', bytes: 1, modifiedAtMs: old }];
  const layers = [layer('a', null), { ...layer('a', null), file: 'a.1.qcow2', disk: 1 }];
  const { remove, merges } = planLayers({ layers, unfinished }, new Set(['a']), ages);
  expect(remove).toEqual(unfinished);
  expect(merges).toEqual([]);
});

test('layers that only carry others are merged, up to the held one and no further', () => {
  const { merges } = plan(chain('a', 'b', 'c', 'held', 'd', 'e', 'open'), ['held', 'open']);
  expect(merges.map(names)).toEqual([
    ['a', 'b', 'c'],
    ['d', 'e'],
  ]);
});

test('a single layer between held ones is left alone', () => {
  expect(plan(chain('a', 'held', 'b', 'open'), ['held', 'open']).merges).toEqual([]);
});

test('a layer that two needed ones lie on ends its run', () => {
  const layers = [...chain('a', 'fork', 'b', 'c', 'open'), layer('other', 'fork')];
  expect(plan(layers, ['open', 'other']).merges.map(names).sort()).toEqual([
    ['a', 'fork'],
    ['b', 'c'],
  ]);
  // What nobody needs does not count: it is on its way out.
  expect(plan(layers, ['open']).merges.map(names)).toEqual([['a', 'fork', 'b', 'c']]);
});

test('a large layer is not written again for a little one', () => {
  const [a, b, c, held] = chain('a', 'b', 'c', 'held');
  const sized = (...bytes: number[]): FoundLayer[] =>
    [a!, b!, c!].map((one, n) => ({ ...one, bytes: bytes[n]! * MiB })).concat(held!);
  expect(plan(sized(1000, 20, 1), ['held']).merges).toEqual([]);
  expect(plan(sized(1000, 20, 10), ['held']).merges.map(names)).toEqual([['b', 'c']]);
  expect(plan(sized(100, 20, 10), ['held']).merges.map(names)).toEqual([['a', 'b', 'c']]);
  expect(plan(sized(20, 20, 1), ['held']).merges.map(names)).toEqual([['a', 'b']]);
});

test('layers that lie on each other in a circle are no endless loop', () => {
  const circle = [layer('a', 'b'), layer('b', 'a')];
  expect(plan(circle, ['a']).remove).toEqual([]);
  expect(plan(circle, []).remove).toHaveLength(2);
});

/** Any forest of layers, each of which lies on an earlier one or on an image. */
const forests = fc
  .array(fc.record({ below: fc.nat(), bytes: fc.integer({ min: 1, max: 2 ** 30 }), age: fc.boolean() }), {
    maxLength: 14,
  })
  .map((nodes) =>
    nodes.map(({ below, bytes, age }, n) =>
      layer(`g${n}`, below % (n + 1) === n ? null : `g${below % (n + 1)}`, {
        bytes,
        modifiedAtMs: age ? old : young,
      }),
    ),
  );
const heldIn = (layers: readonly FoundLayer[]) => fc.subarray(layers.map(({ generation }) => generation));
const cases = forests.chain((layers) => fc.record({ layers: fc.constant(layers), held: heldIn(layers) }));

function chainOf(layers: readonly FoundLayer[], generation: string): string[] {
  const at = layers.find((one) => one.generation === generation);
  if (at === undefined) throw new Error(`${generation} is gone`);
  return at.below === null ? [at.file] : [at.file, ...chainOf(layers, at.below.replace('.0.qcow2', ''))];
}

/** What merging does to the survey: the uppermost lies on what the lowest lay on and has taken all content in. */
function merged(layers: readonly FoundLayer[], run: readonly FoundLayer[]): FoundLayer[] {
  const top = run.at(-1)!;
  const bytes = run.reduce((sum, one) => sum + one.bytes, 0);
  return layers.map((one) => (one === top ? { ...one, below: run[0]!.below, bytes } : one));
}

test('however the layers lie: held ones keep their whole chain, and all that is left over goes', () => {
  fc.assert(
    fc.property(cases, ({ layers, held }) => {
      const { remove, waiting } = plan(layers, held);
      const gone = new Set(remove.map(({ file }) => file));
      const needed = new Set(held.flatMap((generation) => chainOf(layers, generation)));
      for (const { file, modifiedAtMs } of layers) {
        expect(gone.has(file)).toBe(!needed.has(file) && modifiedAtMs === old);
        expect(waiting.some((one) => one.file === file)).toBe(!needed.has(file) && modifiedAtMs === young);
      }
      // Cut anywhere, no layer that is left has lost the one it lies on.
      for (let cut = 0; cut <= remove.length; cut++) {
        const left = new Set(
          layers.map(({ file }) => file).filter((file) => !remove.slice(0, cut).some((one) => one.file === file)),
        );
        for (const { file, below } of layers) {
          const wasWaiting = waiting.some((one) => one.file === file);
          if (left.has(file) && !wasWaiting && below !== null) expect(left.has(below)).toBe(true);
        }
      }
    }),
  );
});

test('however the layers lie: merging touches no held one, and ends with short chains', () => {
  fc.assert(
    fc.property(cases, ({ layers, held }) => {
      let now: FoundLayer[] = layers;
      for (let round = 0; ; round++) {
        const { merges } = plan(now, held);
        if (merges.length === 0) break;
        expect(round).toBeLessThan(layers.length);
        for (const run of merges) {
          expect(run.length).toBeGreaterThan(1);
          for (const { generation } of run) expect(held).not.toContain(generation);
          now = merged(now, run);
        }
      }
      for (const generation of held) {
        const left = chainOf(now, generation);
        const were = chainOf(layers, generation);
        // Same held layers, same order; between two of them a few that differ much in size, or carry another branch.
        expect(left).toEqual(were.filter((file) => left.includes(file)));
        for (const one of were) if (held.includes(one.replace('.0.qcow2', ''))) expect(left).toContain(one);
      }
    }),
  );
});

test('a desktop that sleeps every night has a short chain after a thousand of them', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 200_000, max: 2 ** 30 }), { minLength: 1000, maxLength: 1000 }), (sizes) => {
      let layers: FoundLayer[] = [];
      let written = 0;
      for (const [night, bytes] of sizes.entries()) {
        layers.push(layer(`g${night}`, layers.at(-1)?.generation ?? null, { bytes }));
        const held = [`g${night}`, `g${night - 1}`];
        const survey = (): LayerSurvey => ({ layers, unfinished: [] });
        for (let runs = planLayers(survey(), new Set(held), ages).merges; runs.length > 0;) {
          for (const run of runs) {
            layers = merged(layers, run);
            written += run.reduce((sum, one) => sum + one.bytes, 0);
          }
          runs = planLayers(survey(), new Set(held), ages).merges;
        }
        const { remove } = planLayers(survey(), new Set(held), ages);
        layers = layers.filter((one) => !remove.includes(one));
        expect(layers.length).toBeLessThan(14);
      }
      expect(written).toBeLessThan(12 * sizes.reduce((sum, bytes) => sum + bytes, 0));
    }),
    { numRuns: 3 },
  );
});

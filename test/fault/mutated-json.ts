import fc from 'fast-check';
import { mutated } from '../../libs/checkpoint-tools/mutated';

/** Text that was JSON, with something done to it: members of other kinds, characters changed, a piece cut out. */
export function mutatedJson(value: unknown): fc.Arbitrary<string> {
  const values = fc.oneof(fc.jsonValue(), fc.constantFrom(null, {}, [], -1, 2 ** 60, '', '\0', { toString: 1 }));
  const paths = [...pathsIn(value)];
  const members = fc
    .array(fc.tuple(fc.constantFrom(...paths), values), { minLength: 1, maxLength: 3 })
    .map((changes) => JSON.stringify(changes.reduce((before, [path, other]) => replaced(before, path, other), value)));
  const bytes = mutated(Buffer.from(JSON.stringify(value))).map((changed) => changed.toString('utf8'));
  return fc.oneof(members, bytes, fc.json(), fc.string());
}

function* pathsIn(value: unknown, path: readonly string[] = []): Generator<readonly string[]> {
  yield path;
  if (typeof value !== 'object' || value === null) return;
  for (const [name, member] of Object.entries(value)) yield* pathsIn(member, [...path, name]);
}

function replaced(value: unknown, [name, ...path]: readonly string[], other: unknown): unknown {
  if (name === undefined) return other;
  if (typeof value !== 'object' || value === null) return value; // an earlier change was here
  const copy = (Array.isArray(value) ? [...(value as unknown[])] : { ...value }) as Record<string, unknown>;
  copy[name] = replaced(copy[name], path, other);
  return copy;
}

import fc from 'fast-check';

/** The input with something done to it: bytes changed, numbers made extreme, a piece cut out, doubled or put in. */
export function mutated(whole: Buffer): fc.Arbitrary<Buffer> {
  const at = fc.nat(Math.max(whole.length - 1, 0));
  const extreme = fc.constantFrom(0, 1, 0x7f, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff);
  const number = fc.oneof(extreme, fc.nat(0xffffffff));
  const change = fc.oneof(
    fc.tuple(at, fc.nat(255)).map(([offset, byte]) => put(offset, Buffer.of(byte))),
    fc.tuple(at, number).map(([offset, value]) => put(offset, u32(value))),
    fc.tuple(fc.nat(24), number).map(([offset, value]) => put(offset, u32(value))), // lengths are at the head
    at.map((length) => (input: Buffer) => input.subarray(0, length)),
    fc.tuple(at, at).map(
      ([from, to]) =>
        (input: Buffer) =>
          Buffer.concat([input.subarray(0, from), input.subarray(to)]),
    ),
    fc.uint8Array({ maxLength: 40 }).map((more) => (input: Buffer) => Buffer.concat([input, more])),
  );
  return fc
    .array(change, { minLength: 1, maxLength: 4 })
    .map((changes) => changes.reduce((input, apply) => apply(input), whole));
}

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

function put(offset: number, bytes: Buffer): (input: Buffer) => Buffer {
  return (input) => {
    const changed = Buffer.from(input);
    bytes.copy(changed, Math.min(offset, Math.max(changed.length - bytes.length, 0)));
    return changed;
  };
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

import fc from 'fast-check';

/** For tests only: the input with something done to it: bytes changed, numbers made extreme, a piece cut out, doubled or put in. */
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

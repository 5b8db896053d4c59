import fc from 'fast-check';
import { HashIndex } from './hash-index';
import { HashList } from './hash-list';
import { pageHashBytes } from './layout';

/** More than stand in one piece of a list. */
const manyHashes = 40_000;

const hash = (low: number, more: number): Buffer => {
  const bytes = Buffer.alloc(pageHashBytes);
  bytes.writeUInt32LE(low, 0);
  bytes.writeUInt32LE(more, 8);
  return bytes;
};

test('each hash is found under the number it was first added by, and none that was not added', () => {
  const few = fc.tuple(fc.nat(3), fc.nat(400)).map(([low, more]) => hash(low, more)); // many in the same bucket
  fc.assert(
    fc.property(fc.array(fc.tuple(few, fc.boolean()), { maxLength: 3_000, size: 'max' }), (entries) => {
      const list = new HashList();
      const index = new HashIndex(list);
      const expected = new Map<string, number>();
      for (const [n, [bytes, added]] of entries.entries()) {
        list.grow(n + 1);
        list.put(n, bytes, 0);
        if (!added) continue;
        index.add(n);
        if (!expected.has(bytes.toString('hex'))) expected.set(bytes.toString('hex'), n);
      }
      expect(index.size).toBe(expected.size);
      for (const [bytes] of entries) expect(index.find(bytes, 0)).toBe(expected.get(bytes.toString('hex')) ?? -1);
    }),
    { numRuns: 4 },
  );
});

test('a list of many pieces holds what was put into it, and can be made of its parts', () => {
  const list = new HashList();
  list.grow(manyHashes);
  for (let n = 0; n < manyHashes; n += 2) list.put(n, hash(n, 1), 0);
  const middle = 33_333;
  const content = Buffer.concat([...list.parts(0, middle), ...list.parts(middle, manyHashes)]);
  expect(content).toHaveLength(manyHashes * pageHashBytes);
  const again = HashList.of(content);
  expect(again.length).toBe(manyHashes);
  const expected = (n: number): Buffer => (n % 2 === 0 ? hash(n, 1) : hash(0, 0));
  expect(Array.from({ length: manyHashes }, (_, n) => n).filter((n) => !again.same(n, expected(n), 0))).toEqual([]);
});

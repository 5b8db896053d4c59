import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { unwrapKey, wrapKey } from './key-wrapping';

const kek = randomBytes(32);
const key = randomBytes(32);

test('what is wrapped unwraps with the same key-encryption key and purpose', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.string(), (bytes, purpose) => {
      expect(unwrapKey(kek, wrapKey(kek, Buffer.from(bytes), purpose), purpose)).toEqual(Buffer.from(bytes));
    }),
  );
});

test('a wrapped key is nonce, ciphertext and tag: 60 bytes', () => {
  expect(wrapKey(kek, key, 'content')).toHaveLength(12 + 32 + 16);
});

test('any flipped bit makes it nothing', () => {
  const wrapped = wrapKey(kek, key, 'content');
  for (let bit = 0; bit < wrapped.length * 8; bit += 1) {
    const flipped = Buffer.from(wrapped);
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    expect(unwrapKey(kek, flipped, 'content')).toBeNull();
  }
});

test('another purpose or another key-encryption key makes it nothing', () => {
  const wrapped = wrapKey(kek, key, 'desktop/ada');
  expect(unwrapKey(kek, wrapped, 'desktop/bob')).toBeNull();
  expect(unwrapKey(randomBytes(32), wrapped, 'desktop/ada')).toBeNull();
});

test('bytes of any length that were never wrapped are nothing', () => {
  fc.assert(fc.property(fc.uint8Array(), (bytes) => expect(unwrapKey(kek, Buffer.from(bytes), 'content')).toBeNull()));
});

import { randomBytes, randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { formatKeyFile, parseKeyFile } from './key-file-content';

const newKey = () => ({ id: randomUUID(), createdAt: new Date('2030-01-02T03:04:05.678Z'), key: randomBytes(32) });

test('what is written is read again, in its order', () => {
  const keys = [newKey(), newKey(), newKey()];
  expect(parseKeyFile(formatKeyFile(keys))).toEqual(keys);
});

const entry = { id: 'a', createdAt: '2030-01-02T03:04:05.678Z', key: Buffer.alloc(32, 7).toString('base64') };

test.each([
  ['no key', []],
  ['an empty id', [{ ...entry, id: '' }]],
  ['an id twice', [entry, entry]],
  ['a key of 31 bytes', [{ ...entry, key: Buffer.alloc(31).toString('base64') }]],
  ['a key with characters that are no base64', [{ ...entry, key: `${entry.key.slice(0, -1)}\n=` }]],
  ['a date that is none', [{ ...entry, createdAt: 'yesterday' }]],
  ['a whole key and a broken one', [entry, null]],
])('%s is no key file', (_, keys) => {
  expect(parseKeyFile(JSON.stringify({ keys: [entry] }))).not.toBeNull();
  expect(parseKeyFile(JSON.stringify({ keys }))).toBeNull();
});

test('any other text is no key file, and none makes the parser throw', () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (text) => expect(parseKeyFile(text)).toBeNull()));
});

test('a file that was cut anywhere is no key file', () => {
  const text = formatKeyFile([newKey(), newKey()]).trimEnd();
  for (let length = 0; length < text.length; length += 1) expect(parseKeyFile(text.slice(0, length))).toBeNull();
});

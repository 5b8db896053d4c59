import { createCipheriv, createHash, createHmac, hkdfSync } from 'node:crypto';
import fc from 'fast-check';
import { contentKey, dataKey } from './checkpoint-fixture';
import { CheckpointSecrets } from './encryption';
import type { Manifest } from './manifest-shape';
import { decodeManifest, encodeManifest } from './manifest';
import { objectKeys } from './object-keys';
import { consecutive, hashPages } from './page-hash';

/** The manifest, byte by byte as docs/checkpoint-format.md lays it out. */

const checkpointId = '0b0e1c1a-0000-4000-8000-000000000001';
const secrets = new CheckpointSecrets(dataKey, checkpointId);
const keys = objectKeys('desk-1', checkpointId);
const reference = { bytes: 30, sha256: 'ab'.repeat(32) };
const manifest: Manifest = {
  desktopId: 'desk-1',
  checkpointId,
  createdAt: '2026-01-02T03:04:05.678Z',
  keyId: dataKey.keyId,
  lineage: { previous: null, depth: 0 },
  fingerprint: { machine: 'pc-q35-7.2', note: 'zwölf' },
  diskGeneration: null,
  diskSources: [{ name: 'image/0', blocks: 7 }],
  blocks: [{ name: 'pc.ram', bytes: 8192 }],
  pageMap: reference,
  knownPages: reference,
  wakePack: reference,
  packs: [{ checkpointId, number: 0, ...reference }],
  pages: { total: 2, zero: 1, previous: 0, disk: 0, duplicate: 0, stored: 1, superseded: 0, wakeSet: 0 },
  bytes: { raw: 4096, written: 90 },
};

const digestOf = (json: string | Buffer) => createHash('sha256').update(json).digest('hex');

/** The seal as the page has it, without our code. */
function sealOf(json: string | Buffer): string {
  const key = hkdfSync('sha256', dataKey.key, Buffer.from(checkpointId), Buffer.from('dormouse 3 manifest'), 32);
  return createHmac('sha256', Buffer.from(key)).update(json).digest('hex');
}

/** A manifest of the test's own, whose digest and seal are right. */
const signed = (json: string): Buffer => Buffer.from(`dormouse-manifest 3 ${digestOf(json)} ${sealOf(json)}\n${json}`);
const decode = (encoded: Buffer) => decodeManifest(encoded, secrets, 'm');
const refusal = (code: string) => expect.objectContaining({ code, details: { object: 'm' } }) as Error;

test('keys are those of the format', () => {
  expect({ ...keys, pack: [0, 7, 12_345].map((number) => keys.pack(number)), trace: keys.trace('one') }).toEqual({
    prefix: `desktops/desk-1/checkpoints/${checkpointId}/`,
    manifest: `desktops/desk-1/checkpoints/${checkpointId}/manifest`,
    pageMap: `desktops/desk-1/checkpoints/${checkpointId}/page-map`,
    knownPages: `desktops/desk-1/checkpoints/${checkpointId}/known-pages`,
    wakePack: `desktops/desk-1/checkpoints/${checkpointId}/wake-pack`,
    wakePages: `desktops/desk-1/checkpoints/${checkpointId}/wake-pages`,
    traces: `desktops/desk-1/checkpoints/${checkpointId}/trace-`,
    trace: `desktops/desk-1/checkpoints/${checkpointId}/trace-one`,
    pack: ['00000', '00007', '12345'].map((number) => `desktops/desk-1/checkpoints/${checkpointId}/pack-${number}`),
  });
});

test('a manifest is a line with version, digest and seal, and JSON after it', () => {
  const text = encodeManifest(manifest, secrets).toString('utf8');
  const lineEnd = text.indexOf('\n');
  const json = text.slice(lineEnd + 1);
  expect(text.slice(0, lineEnd)).toBe(`dormouse-manifest 3 ${digestOf(json)} ${sealOf(json)}`);
  expect(JSON.parse(json)).toEqual(manifest);
});

test('a manifest is read whatever its whitespace and the order of its members', () => {
  const reversed = Object.fromEntries(Object.entries(manifest).reverse());
  expect(decode(signed(JSON.stringify(reversed, null, 4)))).toEqual(manifest);
  expect(decode(encodeManifest(manifest, secrets))).toEqual(manifest);
  expect(decodeManifest(encodeManifest(manifest, secrets), null, 'm')).toEqual(manifest);
});

test('the version is looked at before the digest', () => {
  const later = Buffer.from('dormouse-manifest 4 of a digest nobody knows yet\nand no JSON');
  expect(() => decode(later)).toThrow(refusal('FORMAT_UNSUPPORTED'));
});

test.each([0, -4096, 4095, 4097, 2 ** 60, 1.5])('a memory block of %d bytes is damage', (bytes) => {
  expect(() => decode(signed(JSON.stringify({ ...manifest, blocks: [{ name: 'pc.ram', bytes }] })))).toThrow(
    refusal('CHECKPOINT_CORRUPT'),
  );
});

test('a manifest too large to be one is damage', () => {
  const json = JSON.stringify({ ...manifest, more: ' '.repeat(16 * 1024 * 1024) });
  expect(() => decode(signed(json))).toThrow(refusal('CHECKPOINT_CORRUPT'));
});

test.each([
  ['no manifest', 'null'],
  ['no JSON', '{'],
  ['a disk source that is a path', JSON.stringify({ ...manifest, diskSources: [{ name: '../etc/0', blocks: 1 }] })],
  [
    'a pack of a checkpoint that is a path',
    JSON.stringify({ ...manifest, packs: [{ ...reference, checkpointId: '../x', number: 0 }] }),
  ],
  [
    'a pack larger than packs are',
    JSON.stringify({ ...manifest, packs: [{ ...reference, checkpointId, number: 0, bytes: 2 ** 40 }] }),
  ],
  ['no memory', JSON.stringify({ ...manifest, blocks: [] })],
  ...Object.keys(manifest).map((name) => [`no ${name}`, JSON.stringify({ ...manifest, [name]: undefined })]),
])('with the right seal but %s it is damage', (_, json) => {
  expect(() => decode(signed(json))).toThrow(refusal('CHECKPOINT_CORRUPT'));
});

test('whatever is given as a manifest is refused with a typed error', () => {
  const good = encodeManifest(manifest, secrets);
  const mutated = fc
    .tuple(fc.nat(good.length - 1), fc.uint8Array({ maxLength: 40 }), fc.nat(60))
    .map(([at, some, cut]) =>
      Buffer.concat([good.subarray(0, at), some, good.subarray(Math.min(at + cut, good.length))]),
    );
  fc.assert(
    fc.property(
      fc.oneof(
        mutated,
        fc.uint8Array().map((bytes) => Buffer.from(bytes)),
      ),
      (given) => {
        try {
          expect(decode(given)).toEqual(manifest);
        } catch (error) {
          expect((error as { code: string }).code).toMatch(
            /^(CHECKPOINT_CORRUPT|FORMAT_UNSUPPORTED|CHECKPOINT_KEY_MISMATCH)$/,
          );
        }
      },
    ),
    { numRuns: 2_000 },
  );
});

test('the page hash is the head of its SHA-256, encrypted as one block', () => {
  const pages = Buffer.concat([Buffer.alloc(4096, 1), Buffer.alloc(4096, 2)]);
  const expected = [1, 2].map((fill) => {
    const head = createHash('sha256').update(Buffer.alloc(4096, fill)).digest().subarray(0, 16);
    return createCipheriv('aes-256-cbc', contentKey, Buffer.alloc(16)).update(head); // the first block of CBC is ECB's
  });
  expect(hashPages(contentKey, pages, consecutive(2))).toEqual(Buffer.concat(expected));
});

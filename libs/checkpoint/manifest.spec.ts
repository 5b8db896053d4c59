import { createHash } from 'node:crypto';
import { decodeManifest, encodeManifest, storedBytes, type Manifest } from './manifest';
import { objectKeys } from './object-keys';
import { decodeWakePack, encodeWakePack } from './wake-pack';

/** The small objects, byte by byte as docs/checkpoint-format.md lays them out. */

const keys = objectKeys('desk-1', 'point-1');
const reference = (key: string, bytes: number) => ({ key, bytes, sha256: 'ab'.repeat(32) });
const manifest: Manifest = {
  desktopId: 'desk-1',
  checkpointId: 'point-1',
  createdAt: '2026-01-02T03:04:05.678Z',
  fingerprint: { machine: 'pc-q35-7.2', note: 'zwölf' },
  diskGeneration: null,
  blocks: [{ name: 'pc.ram', bytes: 8192 }],
  pageMap: reference(keys.pageMap, 30),
  wakePack: reference(keys.wakePack, 400),
  packs: [{ key: keys.pack(0), bytes: 5000 }],
  pages: { total: 2, zero: 1, stored: 1, superseded: 0 },
};

/** A manifest of the test's own, whose digest is right. */
function signed(json: string, version = '1'): Buffer {
  return Buffer.from(`dormouse-manifest ${version} ${createHash('sha256').update(json).digest('hex')}\n${json}`);
}

test('keys are those of the format', () => {
  expect({ ...keys, pack: [0, 7, 12_345].map((number) => keys.pack(number)) }).toEqual({
    prefix: 'desktops/desk-1/checkpoints/point-1/',
    manifest: 'desktops/desk-1/checkpoints/point-1/manifest',
    pageMap: 'desktops/desk-1/checkpoints/point-1/page-map',
    wakePack: 'desktops/desk-1/checkpoints/point-1/wake-pack',
    pack: ['00000', '00007', '12345'].map((number) => `desktops/desk-1/checkpoints/point-1/pack-${number}`),
  });
});

test('a manifest is a line with version and digest, and JSON after it', () => {
  const text = encodeManifest(manifest).toString('utf8');
  const lineEnd = text.indexOf('\n');
  const json = text.slice(lineEnd + 1);
  expect(text.slice(0, lineEnd)).toBe(`dormouse-manifest 1 ${createHash('sha256').update(json).digest('hex')}`);
  expect(JSON.parse(json)).toEqual(manifest);
});

test('a manifest is read whatever its whitespace and the order of its members', () => {
  const reversed = Object.fromEntries(Object.entries(manifest).reverse());
  expect(decodeManifest(signed(JSON.stringify(reversed, null, 4)), 'm')).toEqual(manifest);
  expect(decodeManifest(encodeManifest(manifest), 'm')).toEqual(manifest);
});

test('the version is looked at before the digest', () => {
  const later = Buffer.from('dormouse-manifest 2 of a digest nobody knows yet\nand no JSON');
  expect(() => decodeManifest(later, 'm')).toThrow(expect.objectContaining({ code: 'FORMAT_UNSUPPORTED' }));
});

test.each([0, -4096, 4095, 4097, 2 ** 60, 1.5])('a memory block of %d bytes is damage', (bytes) => {
  const json = JSON.stringify({ ...manifest, blocks: [{ name: 'pc.ram', bytes }] });
  expect(() => decodeManifest(signed(json), 'm')).toThrow(
    expect.objectContaining({ code: 'CHECKPOINT_CORRUPT', details: { object: 'm' } }),
  );
});

test('a manifest too large to be one is damage', () => {
  const json = JSON.stringify({ ...manifest, more: ' '.repeat(16 * 1024 * 1024) });
  expect(() => decodeManifest(signed(json), 'm')).toThrow(expect.objectContaining({ code: 'CHECKPOINT_CORRUPT' }));
});

test('a checkpoint takes the bytes of its packs, its page map and its wake pack', () => {
  expect(storedBytes(manifest)).toBe(30 + 400 + 5000);
});

test('a wake pack is a header of 16 bytes and its two parts', () => {
  const encoded = encodeWakePack({ configuration: Buffer.from('conf'), deviceState: Buffer.from('devices') });
  expect(encoded.toString('latin1')).toBe('DMWP\x01\0\0\0\x04\0\0\0\x07\0\0\0confdevices');
  const { configuration, deviceState } = decodeWakePack(encoded, 'w');
  expect([configuration.toString(), deviceState.toString()]).toEqual(['conf', 'devices']);
});

test('a wake pack whose lengths do not add up is damage', () => {
  const encoded = encodeWakePack({ configuration: Buffer.from('conf'), deviceState: Buffer.from('devices') });
  for (let length = 0; length < encoded.length; length++) {
    expect(() => decodeWakePack(encoded.subarray(0, length), 'w')).toThrow(
      expect.objectContaining({ code: 'CHECKPOINT_CORRUPT', details: { object: 'w' } }),
    );
  }
  const longer = Buffer.from(encoded);
  longer.writeUInt32LE(0xffff_ffff, 8);
  expect(() => decodeWakePack(longer, 'w')).toThrow(expect.objectContaining({ code: 'CHECKPOINT_CORRUPT' }));
});

import { isDormouseError } from '@dormouse/errors';
import fc from 'fast-check';
import * as handmade from '../handmade-checkpoint';
import { mutated } from '../mutated';
import { parseKnownPages } from './known-pages';
import { parseManifest, type Manifest } from './manifest';
import { parsePageMap } from './page-map';
import { decryptFrame, frameKey, openSealed, openSegments } from './sealing';
import { parseWakePack } from './wake-pack';
import { decompress, decompressUpTo, examineFrame } from './zstd';

/** What comes from storage may be anything: every parser answers with what it says, or with an error of ours. */

const plan = handmade.samplePlan();
const name = { desktopId: plan.desktopId, checkpointId: plan.checkpointId };
const objects = handmade.encodeCheckpoint(plan);
const stored = (object: string): Buffer =>
  objects.get(`desktops/${plan.desktopId}/checkpoints/${plan.checkpointId}/${object}`)!;
const secrets = { dataKey: plan.dataKey, checkpointId: plan.checkpointId };
const opened = (kind: 'pageMap' | 'knownPages', object: string): Buffer =>
  openSealed(kind, stored(object), secrets, object);
const keyOf = (object: string): string => `desktops/${plan.desktopId}/checkpoints/${plan.checkpointId}/${object}`;
const wakeKey = keyOf('wake-pack');
const [head, own] = openSegments('wakePack', stored('wake-pack'), secrets, wakeKey);
const [more] = openSegments('wakePages', stored('wake-pages'), secrets, keyOf('wake-pages'));
const { manifest }: { manifest: Manifest } = parseManifest(stored('manifest'), name);
const json = stored('manifest').subarray(stored('manifest').indexOf(0x0a) + 1);

/** Every parser, with what it takes when nothing is wrong. */
const parsers: readonly (readonly [name: string, whole: Buffer, parse: (input: Buffer) => unknown])[] = [
  ['a manifest', stored('manifest'), (input) => parseManifest(input, name)],
  ['a manifest with the right digest', json, (input) => parseManifest(handmade.sealManifest(plan, input), name)],
  ['an encrypted object', stored('page-map'), (input) => openSealed('pageMap', input, secrets, 'page-map')],
  ['a page map', opened('pageMap', 'page-map'), (input) => parsePageMap(input, manifest, 'page-map')],
  ['known pages', opened('knownPages', 'known-pages'), (input) => parseKnownPages(input, 5, 'known-pages')],
  ['segments', stored('wake-pack'), (input) => openSegments('wakePack', input, secrets, wakeKey)],
  ['the head of a wake pack', head!, (input) => parseWakePack([input, own!, more!], 64, 'wake-pack')],
  ['pages of a wake pack', own!, (input) => parseWakePack([head!, input, more!], 64, 'wake-pack')],
  ['wake pages', more!, (input) => parseWakePack([head!, own!, input], 64, 'wake-pack')],
  [
    'what the head of a wake pack decompresses to',
    decompressUpTo(head!, 2 ** 20)!,
    (input) => parseWakePack([handmade.zstd(input), own!, more!], 64, 'wake-pack'),
  ],
];

describe.each(parsers)('%s', (_, whole, parse) => {
  const answers = (input: Buffer): void => {
    try {
      parse(input);
    } catch (error) {
      if (!isDormouseError(error)) throw error;
      expect(['CHECKPOINT_CORRUPT', 'FORMAT_UNSUPPORTED']).toContain(error.code);
      expect(error.details['object']).toEqual(expect.any(String));
    }
  };

  test('that is what it should be is read', () => {
    expect(parse(whole)).toBeTruthy();
  });

  test('with anything done to it is read or refused', () => {
    fc.assert(fc.property(mutated(whole), answers), { numRuns: 2000 });
  });

  test('that is anything at all is read or refused', () => {
    const anything = fc.uint8Array({ maxLength: 2000 }).map((bytes) => Buffer.from(bytes));
    fc.assert(fc.property(anything, answers), { numRuns: 1000 });
  });

  test('that is cut off anywhere is refused', () => {
    const step = Math.max(1, Math.floor(whole.length / 500));
    for (let length = 0; length < whole.length; length += step) {
      expect(() => parse(whole.subarray(0, length))).toThrow();
    }
  });
});

describe('zstd', () => {
  const content = handmade.wild(7, 70_000);
  const frame = handmade.zstd(content);
  /** Blocks of one repeated byte: `count` times 128 KiB from four bytes each. */
  const bomb = (count: number): Buffer => {
    const blocks = Array.from({ length: count }, (_, n) => {
      const head = ((128 * 1024) << 3) | (1 << 1) | Number(n === count - 1);
      return Buffer.of(head & 0xff, (head >> 8) & 0xff, (head >> 16) & 0xff, 0x61);
    });
    return Buffer.concat([Buffer.from('28b52ffd0058', 'hex'), ...blocks]);
  };

  test('a frame is taken only at its own length', () => {
    expect(decompress(frame, content.length)?.equals(content)).toBe(true);
    expect(decompressUpTo(frame, content.length)?.equals(content)).toBe(true);
    expect(decompress(frame, content.length - 1)).toBeNull();
    expect(decompress(frame, content.length + 1)).toBeNull();
    expect(decompressUpTo(frame, content.length - 1)).toBeNull();
  });

  test('the size may be left out', () => {
    const unsized = Buffer.concat([frame.subarray(0, 4), Buffer.of(0, frame[5]!), frame.subarray(10)]);
    expect(examineFrame(unsized)).toMatchObject({ contentBytes: null });
    expect(decompress(unsized, content.length)?.equals(content)).toBe(true);
    expect(decompress(unsized, content.length + 1)).toBeNull();
    expect(decompressUpTo(unsized, 100_000)?.equals(content)).toBe(true);
    expect(decompressUpTo(unsized, 69_999)).toBeNull();
  });

  test('what decompresses to far more than is expected is not decompressed', () => {
    expect(decompress(bomb(8), 8 * 128 * 1024)).toHaveLength(2 ** 20);
    const before = process.memoryUsage().rss;
    const large = bomb(20_000); // 2.5 GiB
    expect(examineFrame(large)?.mostBytes).toBe(20_000 * 128 * 1024);
    expect(decompress(large, 65_536)).toBeNull();
    expect(decompressUpTo(large, 2 ** 20)).toBeNull();
    expect(process.memoryUsage().rss - before).toBeLessThan(512 * 2 ** 20);
  });

  test('two frames, or a frame with something behind it, are not one', () => {
    for (const behind of [frame, Buffer.of(0), Buffer.from('502a4d1800000000', 'hex')]) {
      expect(examineFrame(Buffer.concat([frame, behind]))).toBeNull();
    }
  });

  test('anything else is refused without a throw', () => {
    fc.assert(
      fc.property(mutated(frame), fc.nat(200_000), (input, bytes) => {
        expect(decompress(input, bytes)?.length ?? bytes).toBe(bytes);
        expect(decompressUpTo(input, bytes)?.length ?? 0).toBeLessThanOrEqual(bytes);
      }),
      { numRuns: 3000 },
    );
  });
});

test('a frame with any bit changed, or of another place, does not pass its tag', () => {
  const key = frameKey(plan.dataKey, plan.checkpointId);
  const pack = stored('pack-00001');
  expect(decryptFrame(key, 1, 0, pack)).not.toBeNull();
  expect(decryptFrame(key, 0, 0, pack)).toBeNull();
  expect(decryptFrame(key, 1, 1, pack)).toBeNull();
  fc.assert(
    fc.property(fc.nat(pack.length - 1), fc.nat(7), (at, bit) => {
      const flipped = Buffer.from(pack);
      flipped[at]! ^= 1 << bit;
      expect(decryptFrame(key, 1, 0, flipped)).toBeNull();
    }),
  );
});

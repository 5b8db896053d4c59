import fc from 'fast-check';
import { Encoder } from '@toondepauw/node-zstd';
import { encrypt, frameNonce } from './encryption';
import { compressFrame, openFrame, sealFrame, type CompressedFrame, type PackSecret } from './frame-codec';
import type { FrameLocation } from './frame-table';
import { frameBytes, tagBytes } from './layout';

const pack = { number: 3, key: Buffer.alloc(32, 0x5a) };
const offset = 4096;
const at = (stored: Buffer, encoding: number): FrameLocation => ({ pack: 0, offset, encoding, length: stored.length });

const open = (stored: Buffer, place: FrameLocation): Buffer => openFrame(stored, place, pack, 'the-pack');

function sealed(frame: CompressedFrame, of: PackSecret, place: number): Buffer {
  const stored = Buffer.alloc(frameBytes + tagBytes);
  return stored.subarray(0, sealFrame(frame, of, place, stored));
}

const damage = {
  code: 'CHECKPOINT_CORRUPT',
  details: { object: 'the-pack' },
  message: expect.stringContaining('byte 4096'),
};

describe('a frame', () => {
  test('gives back any frame that was sealed', async () => {
    const content = fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 3 * frameBytes }), fc.nat(frameBytes));
    await fc.assert(
      fc.asyncProperty(content, async ([some, from]) => {
        const frame = Buffer.alloc(frameBytes);
        frame.set(some.subarray(0, frameBytes - from), from);
        const compressed = compressFrame(Buffer.from(frame));
        const stored = sealed(compressed, pack, offset);
        expect(open(stored, at(stored, compressed.encoding)).equals(frame)).toBe(true);
      }),
    );
  });

  test('refuses a frame at another place, of another pack, under another key, or with any byte changed', async () => {
    const compressed = compressFrame(Buffer.alloc(frameBytes, 'frame'));
    const stored = sealed(compressed, pack, offset);
    const place = at(stored, compressed.encoding);
    const elsewhere = [
      sealed(compressed, pack, offset + 1),
      sealed(compressed, { ...pack, number: 4 }, offset),
      sealed(compressed, { ...pack, key: Buffer.alloc(32, 1) }, offset),
      ...Array.from(stored, (byte, n) =>
        Buffer.concat([stored.subarray(0, n), Buffer.of(byte ^ 1), stored.subarray(n + 1)]),
      ),
    ];
    for (const other of elsewhere) expect(thrownBy(() => open(other, place))).toMatchObject(damage);
  });

  test.each<[string, () => Promise<Buffer>]>([
    ['bytes that no compressor wrote', async () => Buffer.from('not compressed')],
    ['fewer bytes than a frame has', () => new Encoder(1).encode(Buffer.alloc(frameBytes - 1))],
    ['more bytes than a frame has', () => new Encoder(1).encode(Buffer.alloc(frameBytes + 1))],
  ])('refuses %s, though their tag matches', async (__, make) => {
    const stored = encrypt(pack.key, frameNonce(pack.number, offset), await make());
    expect(thrownBy(() => open(stored, at(stored, 1)))).toMatchObject(damage);
  });
});

function thrownBy(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  return null;
}

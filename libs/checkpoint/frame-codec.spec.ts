import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { Encoder } from '@toondepauw/node-zstd';
import { decodeFrame, decodeFrameNow, encodeFrame } from './frame-codec';
import type { FrameLocation } from './frame-table';
import { frameBytes } from './layout';

const decoders = [
  ['decodeFrameNow', async (stored: Buffer, at: FrameLocation) => decodeFrameNow(stored, at, 'the-pack')],
  ['decodeFrame', (stored: Buffer, at: FrameLocation) => decodeFrame(stored, at, 'the-pack')],
] as const;

/** Where a frame would be if `stored` had been written: its digest always matches. */
const locationOf = (stored: Buffer, encoding: number): FrameLocation => ({
  ...{ pack: 0, offset: 4096, encoding, length: stored.length },
  digest: createHash('sha256').update(stored).digest().subarray(0, 16),
});

describe.each(decoders)('%s', (_, decode) => {
  test('gives back any frame that was encoded', async () => {
    const content = fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 3 * frameBytes }), fc.nat(frameBytes));
    await fc.assert(
      fc.asyncProperty(content, async ([some, at]) => {
        const frame = Buffer.alloc(frameBytes);
        frame.set(some.subarray(0, frameBytes - at), at);
        const { bytes, encoding, digest } = await encodeFrame(Buffer.from(frame));
        const pages = await decode(bytes, { ...locationOf(bytes, encoding), digest });
        expect(pages.equals(frame)).toBe(true);
      }),
    );
  });

  test.each<[string, () => Promise<Buffer>]>([
    ['bytes that no compressor wrote', async () => Buffer.from('not compressed')],
    ['fewer bytes than a frame has', () => new Encoder(1).encode(Buffer.alloc(frameBytes - 1))],
    ['more bytes than a frame has', () => new Encoder(1).encode(Buffer.alloc(frameBytes + 1))],
  ])('refuses %s, though their digest matches', async (__, make) => {
    const stored = await make();
    await expect(decode(stored, locationOf(stored, 1))).rejects.toMatchObject({
      code: 'CHECKPOINT_CORRUPT',
      details: { object: 'the-pack' },
      message: expect.stringContaining('byte 4096'),
    });
  });
});

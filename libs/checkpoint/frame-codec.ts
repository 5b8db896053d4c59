import { createHash, webcrypto } from 'node:crypto';
import { Decoder, Encoder } from '@toondepauw/node-zstd';
import type { DormouseError } from '@dormouse/errors';
import { corrupt } from './corruption';
import type { FrameLocation } from './frame-table';
import { frameBytes, frameDigestBytes, frameEncoding } from './layout';

/** A frame as it is stored. */
export interface EncodedFrame {
  readonly encoding: number;
  readonly bytes: Buffer;
  readonly digest: Buffer;
}

/** Level 1: compressing must keep up with a guest whose memory is read at disk speed. */
const encoder = new Encoder(1);
const decoder = new Decoder();

/** Compresses and hashes a whole frame on the thread pool: the caller's event loop goes on reading the guest's memory. */
export async function encodeFrame(frame: Buffer): Promise<EncodedFrame> {
  const compressed = await encoder.encode(frame);
  const worthIt = compressed.length < frame.length;
  const bytes = worthIt ? compressed : frame;
  const digest = Buffer.from(await webcrypto.subtle.digest('SHA-256', bytes)).subarray(0, frameDigestBytes);
  return { encoding: worthIt ? frameEncoding.zstd : frameEncoding.raw, bytes, digest };
}

/**
 * The pages of a frame, from its stored bytes, on the caller's thread: for a guest that waits a tenth of a millisecond
 * here is less than the way to the thread pool and back.
 * @throws CHECKPOINT_CORRUPT naming `object`, before anything is decompressed, when the bytes are not those written
 */
export function decodeFrameNow(stored: Buffer, location: FrameLocation, object: string): Buffer {
  checkDigest(createHash('sha256').update(stored).digest(), location, object);
  if (location.encoding === frameEncoding.raw) return stored;
  try {
    return whole(decoder.decodeSync(stored));
  } catch (cause) {
    throw undecodable(location, object, cause);
  }
}

/** The same on the thread pool, for pages nobody waits for. */
export async function decodeFrame(stored: Buffer, location: FrameLocation, object: string): Promise<Buffer> {
  checkDigest(Buffer.from(await webcrypto.subtle.digest('SHA-256', stored)), location, object);
  if (location.encoding === frameEncoding.raw) return stored;
  try {
    return whole(await decoder.decode(stored));
  } catch (cause) {
    throw undecodable(location, object, cause);
  }
}

function checkDigest(digest: Buffer, location: FrameLocation, object: string): void {
  if (digest.compare(location.digest, 0, frameDigestBytes, 0, frameDigestBytes) !== 0) {
    throw corrupt(object, `the frame at byte ${location.offset} has another digest`);
  }
}

function whole(pages: Buffer): Buffer {
  if (pages.length !== frameBytes) throw new Error(`${pages.length} bytes`);
  return pages;
}

function undecodable(location: FrameLocation, object: string, cause: unknown): DormouseError {
  return corrupt(object, `the frame at byte ${location.offset} does not decompress to its pages`, cause);
}

import type { DormouseError } from '@dormouse/errors';
import { corrupt } from './corruption';
import { decrypt, encryptInto, frameNonce } from './encryption';
import type { FrameLocation } from './frame-table';
import { frameBytes, frameEncoding } from './layout';
import { compressNow, decompressNow } from './zstd-binding';

/** A frame that has been compressed, if that was worth it. */
export interface CompressedFrame {
  readonly encoding: number;
  readonly bytes: Buffer;
}

/** The pack a frame lies in: its number and key belong to the checkpoint that wrote it. */
export interface PackSecret {
  readonly number: number;
  readonly key: Uint8Array;
}

/** Compresses a whole frame, if it becomes smaller by that. */
export function compressFrame(frame: Buffer): CompressedFrame {
  const bytes = compressNow(frame);
  return bytes.length < frame.length
    ? { encoding: frameEncoding.zstd, bytes }
    : { encoding: frameEncoding.raw, bytes: frame };
}

/** Puts the stored bytes of a frame that will lie at `offset` of its pack where `into` begins. @returns their length */
export function sealFrame({ bytes }: CompressedFrame, pack: PackSecret, offset: number, into: Buffer): number {
  return encryptInto(into, pack.key, frameNonce(pack.number, offset), bytes);
}

/**
 * The pages of a frame, from its stored bytes: a twentieth of a millisecond, less than the way to another thread and back.
 * @throws CHECKPOINT_CORRUPT naming `object`, before anything is decompressed, when the bytes are not those written
 */
export function openFrame(stored: Buffer, location: FrameLocation, pack: PackSecret, object: string): Buffer {
  const content = authentic(stored, location, pack, object);
  if (location.encoding === frameEncoding.raw) return content;
  try {
    return whole(decompressNow(content, frameBytes));
  } catch (cause) {
    throw undecodable(location, object, cause);
  }
}

function authentic(stored: Buffer, location: FrameLocation, pack: PackSecret, object: string): Buffer {
  const content = decrypt(pack.key, frameNonce(pack.number, location.offset), stored);
  if (content === null) throw corrupt(object, `the tag of the frame at byte ${location.offset} does not match`);
  return content;
}

function whole(pages: Buffer): Buffer {
  if (pages.length !== frameBytes) throw new Error(`${pages.length} bytes`);
  return pages;
}

function undecodable(location: FrameLocation, object: string, cause: unknown): DormouseError {
  return corrupt(object, `the frame at byte ${location.offset} does not decompress to its pages`, cause);
}

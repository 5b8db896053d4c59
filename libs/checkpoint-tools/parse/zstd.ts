import { dirname } from 'node:path';
import { Decoder } from '@toondepauw/node-zstd';
import loadBinding from 'node-gyp-build';

/**
 * zstd (RFC 8878) within limits: the frame is walked before it is decoded, so that what is damaged or made up cannot
 * decompress to more than was expected of it, and nothing can hide behind its end.
 */

const magic = 0xfd2fb528;
const largestBlockBytes = 128 * 1024;
/** No encoder makes blocks of less than 8 KiB throughout: decoding takes at most this many times what is expected. */
const slack = largestBlockBytes / 8192;
const blockTypes = { raw: 0, repeated: 1, compressed: 2 } as const;

/** Decompresses what says how large it is. One context for the process: on one thread only. */
const binding = loadBinding(dirname(require.resolve('@cloudpss/zstd/package.json'))) as {
  decompress(frame: Uint8Array, mostBytes: number): Buffer;
};
/** For what does not say: a few large objects. It never gives back the 128 KiB that a call takes beside its result. */
const decoder = new Decoder();

export interface FrameFacts {
  /** What the frame says its content takes, or null when it does not say. */
  readonly contentBytes: number | null;
  /** What it can decompress to at most, by its blocks. */
  readonly mostBytes: number;
}

/** Walks the blocks of one frame. @returns null when it is not exactly one frame */
export function examineFrame(frame: Buffer): FrameFacts | null {
  const header = readHeader(frame);
  if (header === null) return null;
  let { at } = header;
  let mostBytes = 0;
  for (let last = false; !last;) {
    if (at + 3 > frame.length) return null;
    const block = frame.readUIntLE(at, 3);
    last = (block & 1) === 1;
    const type = (block >> 1) & 3;
    const size = block >> 3;
    at += 3;
    if (type === blockTypes.compressed) mostBytes += largestBlockBytes;
    else if (type === blockTypes.raw || type === blockTypes.repeated) mostBytes += size;
    else return null;
    if (size > largestBlockBytes) return null;
    at += type === blockTypes.repeated ? 1 : size;
  }
  if (header.hasChecksum) at += 4;
  return at === frame.length ? { contentBytes: header.contentBytes, mostBytes } : null;
}

function readHeader(frame: Buffer): { at: number; contentBytes: number | null; hasChecksum: boolean } | null {
  if (frame.length < 6 || frame.readUInt32LE(0) !== magic) return null;
  const descriptor = frame[4]!;
  const sizeFlag = descriptor >> 6;
  const singleSegment = (descriptor & 0x20) !== 0;
  if ((descriptor & 0x0b) !== 0) return null; // a reserved bit, or a dictionary
  const at = 5 + (singleSegment ? 0 : 1);
  const sizeBytes = sizeFlag === 0 ? Number(singleSegment) : 1 << sizeFlag;
  if (at + sizeBytes > frame.length) return null;
  const hasChecksum = (descriptor & 0x04) !== 0;
  return { at: at + sizeBytes, contentBytes: contentBytes(frame, at, sizeBytes), hasChecksum };
}

function contentBytes(frame: Buffer, at: number, sizeBytes: number): number | null {
  switch (sizeBytes) {
    case 0:
      return null;
    case 8:
      return Number(frame.readBigUInt64LE(at));
    default:
      return frame.readUIntLE(at, sizeBytes) + (sizeBytes === 2 ? 256 : 0);
  }
}

/** Exactly `bytes` bytes, or null when `frame` is not one frame that holds as many. */
export function decompress(frame: Buffer, bytes: number): Buffer | null {
  const facts = examineFrame(frame);
  if (facts === null || (facts.contentBytes ?? bytes) !== bytes) return null;
  const content = decode(frame, facts, bytes);
  return content?.length === bytes ? content : null;
}

/** As many bytes as there are, `mostBytes` at most, or null. */
export function decompressUpTo(frame: Buffer, mostBytes: number): Buffer | null {
  const facts = examineFrame(frame);
  if (facts === null || (facts.contentBytes ?? 0) > mostBytes) return null;
  const content = decode(frame, facts, facts.contentBytes ?? mostBytes);
  if (content === null || content.length > mostBytes) return null;
  return (facts.contentBytes ?? content.length) === content.length ? content : null;
}

function decode(frame: Buffer, { contentBytes, mostBytes }: FrameFacts, expectedBytes: number): Buffer | null {
  if (mostBytes > slack * expectedBytes + largestBlockBytes) return null;
  try {
    // The binding wants less than what it is given room for.
    return contentBytes === null ? decoder.decodeSync(frame) : binding.decompress(frame, contentBytes + 1);
  } catch {
    return null; // a block that cannot be decoded; which one, the binding does not say
  }
}

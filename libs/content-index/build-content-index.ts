import { mkdir, open, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { consecutive, ContentTable, pageBytes, pageHashBytes, type PageHasher } from '@dormouse/checkpoint';
import { DormouseError } from '@dormouse/errors';
import {
  bucketsFor,
  digestOf,
  emptyBucket,
  headerBytes,
  headerFields,
  indexMagic,
  indexVersion,
  keyCheckOf,
  stampOf,
  writeStamp,
  type ImageStamp,
} from './layout';

export interface BuildProgress {
  readonly readBytes: number;
  readonly totalBytes: number;
}

/** Blocks that are read and hashed together, and how many such pieces are on their way. */
const pieceBlocks = 256;
const piecesInFlight = 4;
const zeroBlock = Buffer.alloc(pageBytes);

/**
 * Reads an image's file and writes its index. What was there before stays until the new one is whole; killed on the way,
 * only a draft is left, which the next build writes over.
 * @throws what the file system says; CANCELLED when aborted
 */
export async function buildContentIndex(options: {
  readonly image: string;
  readonly indexFile: string;
  readonly contentKey: Uint8Array;
  readonly hasher: PageHasher;
  readonly onProgress: (progress: BuildProgress) => void;
  readonly signal: AbortSignal;
}): Promise<{ readonly entries: number }> {
  const { image, indexFile, contentKey } = options;
  const stamp = stampOf(await stat(image, { bigint: true }));
  const file = await open(image);
  let table: ContentTable;
  try {
    table = await readContents(file, Number(stamp.bytes), options);
  } finally {
    await file.close();
  }
  await mkdir(dirname(indexFile), { recursive: true, mode: 0o700 });
  await writeWhole(indexFile, encode(table, stamp, contentKey));
  return { entries: table.size };
}

/** Page hash → block, the first that has the content. */
async function readContents(
  file: FileHandle,
  totalBytes: number,
  { hasher, onProgress, signal }: Pick<Parameters<typeof buildContentIndex>[0], 'hasher' | 'onProgress' | 'signal'>,
): Promise<ContentTable> {
  const table = new ContentTable();
  const spare = Array.from({ length: piecesInFlight }, () => hasher.allocate(pieceBlocks * pageBytes));
  const hashing: { piece: Buffer; first: number; count: number; hashes: Promise<Buffer> }[] = [];
  const takeIn = async (): Promise<void> => {
    const { piece, first, count, hashes } = hashing.shift()!;
    const found = await hashes;
    for (let n = 0; n < count; n++) {
      const isZero = zeroBlock.compare(piece, n * pageBytes, (n + 1) * pageBytes) === 0;
      const at = n * pageHashBytes;
      if (!isZero && table.find(found, at) < 0) table.set(found, at, first + n, 0);
    }
    spare.push(piece);
    onProgress({ readBytes: Math.min((first + count) * pageBytes, totalBytes), totalBytes });
  };
  for (let first = 0; ; first += pieceBlocks) {
    if (signal.aborted) throw new DormouseError('CANCELLED', 'the image is not indexed any further');
    if (spare.length === 0) await takeIn();
    const piece = spare.pop()!;
    const { bytesRead } = await file.read(piece, 0, piece.length, first * pageBytes);
    const count = Math.floor(bytesRead / pageBytes);
    if (count === 0) break;
    const hashes = hasher.hash(piece, consecutive(count));
    hashes.catch(() => undefined); // looked at when its turn comes
    hashing.push({ piece, first, count, hashes });
  }
  while (hashing.length > 0) await takeIn();
  return table;
}

function encode(table: ContentTable, stamp: ImageStamp, contentKey: Uint8Array): Buffer {
  const entries = table.size;
  const buckets = bucketsFor(entries);
  const blocksAt = headerBytes + entries * pageHashBytes;
  const content = Buffer.alloc(blocksAt + entries * 4 + buckets * 4);
  const slots = new Uint32Array(buckets).fill(emptyBucket);
  for (let entry = 0; entry < entries; entry++) {
    const hashAt = headerBytes + entry * pageHashBytes;
    table.copyHash(entry, content, hashAt);
    content.writeUInt32LE(table.first(entry), blocksAt + entry * 4);
    let bucket = content.readUInt32LE(hashAt) & (buckets - 1);
    while (slots[bucket] !== emptyBucket) bucket = (bucket + 1) & (buckets - 1);
    slots[bucket] = entry;
  }
  slots.forEach((entry, bucket) => content.writeUInt32LE(entry, blocksAt + entries * 4 + bucket * 4));
  content.write(indexMagic, 0, 'latin1');
  content.writeUInt16LE(indexVersion, 4);
  writeStamp(stamp, content);
  keyCheckOf(contentKey).copy(content, headerFields.keyCheck);
  content.writeUInt32LE(entries, headerFields.entries);
  content.writeUInt32LE(buckets, headerFields.buckets);
  digestOf(content.subarray(headerBytes)).copy(content, headerFields.digest);
  return content;
}

async function writeWhole(path: string, content: Buffer): Promise<void> {
  const draft = `${path}.new`;
  try {
    const file = await open(draft, 'w', 0o600);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
  const directory = await open(dirname(path));
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, realpath, rename, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pageBytes, pageHashBytes, sameHash } from '@dormouse/checkpoint';
import { DormouseError } from '@dormouse/errors';
import {
  digestOf,
  emptyBucket,
  headerBytes,
  headerFields,
  indexMagic,
  indexVersion,
  keyCheckBytes,
  keyCheckOf,
  hasStamp,
  mostEntries,
  stampOf,
} from './layout';

/** Beside the folders of desktops: none of these begins with a dot. */
const indexFolder = '.images';
/** Its name until there were desktops of that name. */
const formerFolder = 'images';
const indexName = /^[0-9a-f]{32}\.index(\.new)?$/;

/** Brings indexes from where they were kept before; what else lies there is a desktop's. */
export async function moveContentIndexes(diskRoot: string): Promise<void> {
  const former = join(diskRoot, formerFolder);
  const names = await readdir(former).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return [];
    throw error;
  });
  const indexes = names.filter((name) => indexName.test(name));
  if (indexes.length === 0) return;
  await mkdir(join(diskRoot, indexFolder), { recursive: true, mode: 0o700 });
  for (const name of indexes) {
    await rename(join(former, name), join(diskRoot, indexFolder, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error; // another host was first
    });
  }
  if (indexes.length < names.length) return;
  await rmdir(former).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT' && error.code !== 'ENOTEMPTY') throw error;
  });
}

/** Where the index of an image is kept: beside the disks, under a name made of the image's real path. */
export async function contentIndexFile(diskRoot: string, image: string): Promise<string> {
  const path = await realpath(image);
  const name = createHash('sha256').update(path).digest('hex').slice(0, 32);
  return join(diskRoot, indexFolder, `${name}.index`);
}

/** The index of one image, as it lies in its file: 24 to 28 bytes of memory for each distinct block. */
export class ContentIndex {
  private readonly mask: number;

  private constructor(
    private readonly hashes: Buffer,
    private readonly blocks: Uint32Array,
    private readonly buckets: Uint32Array,
  ) {
    this.mask = buckets.length - 1;
  }

  /**
   * @returns null when there is none, or one of another state of the image, of another key or another version
   * @throws CONTENT_INDEX_CORRUPT naming the file
   */
  static async load(
    file: string,
    { image, contentKey }: { readonly image: string; readonly contentKey: Uint8Array },
  ): Promise<ContentIndex | null> {
    let content: Buffer;
    try {
      const [{ size }, imageNow] = [await stat(file), await stat(image)];
      if (size > mostIndexBytes(imageNow.size)) return null; // of another image: it is not read
      content = await readFile(file);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
    if (content.length < headerBytes || content.toString('latin1', 0, 4) !== indexMagic) {
      throw damaged(file, 'it is no content index');
    }
    if (content.readUInt16LE(4) !== indexVersion) return null;
    const isOfThisState = hasStamp(content, stampOf(await stat(image, { bigint: true })));
    const keyCheck = content.subarray(headerFields.keyCheck, headerFields.keyCheck + keyCheckBytes);
    if (!isOfThisState || !keyCheck.equals(keyCheckOf(contentKey))) return null;
    return ContentIndex.of(content, file);
  }

  get size(): number {
    return this.blocks.length;
  }

  /** The block that holds the page with this hash, or -1. */
  lookup(hashes: Buffer, at: number): number {
    for (let bucket = hashes.readUInt32LE(at) & this.mask; ; bucket = (bucket + 1) & this.mask) {
      const entry = this.buckets[bucket]!;
      if (entry === emptyBucket) return -1;
      if (sameHash(hashes, at, this.hashes, entry * pageHashBytes)) return this.blocks[entry]!;
    }
  }

  private static of(content: Buffer, file: string): ContentIndex {
    const entries = content.readUInt32LE(headerFields.entries);
    const buckets = content.readUInt32LE(headerFields.buckets);
    const blocksAt = headerBytes + entries * pageHashBytes;
    const bucketsAt = blocksAt + entries * 4;
    // A table without an empty bucket would be looked through for ever.
    const isPossible = entries <= mostEntries && buckets > entries && (buckets & (buckets - 1)) === 0;
    if (!isPossible || bucketsAt + buckets * 4 !== content.length) throw damaged(file, 'its lists have other lengths');
    const digest = content.subarray(headerFields.digest, headerFields.digest + 32);
    if (!digestOf(content.subarray(headerBytes)).equals(digest)) throw damaged(file, 'its digest does not match');
    // Each in memory of its own, where numbers begin at multiples of four.
    const index = new ContentIndex(
      content.subarray(headerBytes, blocksAt),
      numbers(content, blocksAt, entries),
      numbers(content, bucketsAt, buckets),
    );
    if (index.buckets.some((entry) => entry !== emptyBucket && entry >= entries)) {
      throw damaged(file, 'a bucket names an entry that is not there');
    }
    return index;
  }
}

/** Each block has an entry at most, and the buckets are less than four times as many. */
function mostIndexBytes(imageBytes: number): number {
  const blocks = Math.max(1, Math.ceil(imageBytes / pageBytes));
  return headerBytes + blocks * (pageHashBytes + 4 + 4 * 4);
}

/** The lists begin at multiples of four in a file read into memory of its own; copied when they do not. */
function numbers(content: Buffer, at: number, count: number): Uint32Array {
  const offset = content.byteOffset + at;
  if (offset % 4 === 0) return new Uint32Array(content.buffer, offset, count);
  return new Uint32Array(Uint8Array.prototype.slice.call(content, at, at + count * 4).buffer);
}

function damaged(file: string, why: string): DormouseError {
  return new DormouseError('CONTENT_INDEX_CORRUPT', `${file} is damaged: ${why}; it is made anew when it is removed`, {
    file,
  });
}

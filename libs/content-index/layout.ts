import { createHash, createHmac } from 'node:crypto';
import type { BigIntStats } from 'node:fs';

/** The numbers of the index file. All integers are little-endian. `docs/content-index.md` describes it. */

export const indexMagic = 'DMCI';
export const indexVersion = 3;

/**
 * magic · u16 version · u16 zero · u64 image bytes · u64 image mtime, ns · 16 key check · u32 entries · u32 buckets ·
 * 32 digest of all that follows · u64 image ctime, ns · u64 image inode
 */
export const headerBytes = 96;
export const headerFields = {
  imageBytes: 8,
  imageMtime: 16,
  keyCheck: 24,
  entries: 40,
  buckets: 44,
  digest: 48,
  imageCtime: 80,
  imageInode: 88,
} as const;
export const keyCheckBytes = 16;

/** A bucket no entry is in. */
export const emptyBucket = 0xffffffff;
/** 2 TiB of distinct content; more buckets than that no u32 would name. */
export const mostEntries = 2 ** 29;

/**
 * The state of an image: another one means that the index no longer fits. Size and modification time can be had by another file, and be
 * set by anybody who copies one; the file's own number and the time of its last change are the file system's.
 */
export interface ImageStamp {
  readonly bytes: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly inode: bigint;
}

export function stampOf({ size, mtimeNs, ctimeNs, ino }: BigIntStats): ImageStamp {
  return { bytes: size, mtimeNs, ctimeNs, inode: ino };
}

const stampFields = {
  bytes: headerFields.imageBytes,
  mtimeNs: headerFields.imageMtime,
  ctimeNs: headerFields.imageCtime,
  inode: headerFields.imageInode,
} as const satisfies Record<keyof ImageStamp, number>;

export function writeStamp(stamp: ImageStamp, header: Buffer): void {
  for (const [member, at] of Object.entries(stampFields))
    header.writeBigUInt64LE(stamp[member as keyof ImageStamp], at);
}

export function hasStamp(header: Buffer, stamp: ImageStamp): boolean {
  return Object.entries(stampFields).every(
    ([member, at]) => header.readBigUInt64LE(at) === stamp[member as keyof ImageStamp],
  );
}

/** Tells whether an index was made with this content key, without telling the key. */
export function keyCheckOf(contentKey: Uint8Array): Buffer {
  return createHmac('sha256', contentKey).update('dormouse content index').digest().subarray(0, keyCheckBytes);
}

export function digestOf(body: Uint8Array): Buffer {
  return createHash('sha256').update(body).digest();
}

/** At most half of the buckets are taken. A power of two. */
export function bucketsFor(entries: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(entries, 1) * 2));
}

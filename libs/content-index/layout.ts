import { createHash, createHmac } from 'node:crypto';
import type { BigIntStats } from 'node:fs';

/** The numbers of the index file. All integers are little-endian. `docs/content-index.md` describes it. */

export const indexMagic = 'DMCI';
export const indexVersion = 2;

/**
 * magic · u16 version · u16 zero · u64 image bytes · u64 image mtime, ns · 16 key check · u32 entries · u32 buckets ·
 * 32 digest of all that follows · 16 zero
 */
export const headerBytes = 96;
export const headerFields = {
  imageBytes: 8,
  imageMtime: 16,
  keyCheck: 24,
  entries: 40,
  buckets: 44,
  digest: 48,
} as const;
export const keyCheckBytes = 16;

/** A bucket no entry is in. */
export const emptyBucket = 0xffffffff;
/** 2 TiB of distinct content; more buckets than that no u32 would name. */
export const mostEntries = 2 ** 29;

/** The state of an image: another one means that the index no longer fits. */
export interface ImageStamp {
  readonly bytes: bigint;
  readonly mtimeNs: bigint;
}

export function stampOf({ size, mtimeNs }: BigIntStats): ImageStamp {
  return { bytes: size, mtimeNs };
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

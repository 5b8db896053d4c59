import { DormouseError } from '@dormouse/errors';
import type { BlobRange } from './blob-store';

/** A first character that is no dot rules out `.`, `..` and every name an adapter keeps for itself. */
const segment = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
const longestSegmentBytes = 255; // NAME_MAX
const longestKeyBytes = 512; // leaves room for a prefix in S3's 1024

export function isBlobKey(key: string): boolean {
  return (
    key.length <= longestKeyBytes &&
    key.split('/').every((part) => segment.test(part) && part.length <= longestSegmentBytes)
  );
}

/** @throws STORAGE_FAILED */
export function checkKey(key: string): void {
  if (!isBlobKey(key)) throw refused(key, `'${key.slice(0, 80)}' cannot be the key of an object`);
}

/** A prefix ends anywhere in a key, also in the middle of a segment; the empty one is every key's. @throws STORAGE_FAILED */
export function checkPrefix(prefix: string): void {
  if (prefix !== '' && !isBlobKey(prefix.endsWith('/') ? prefix.slice(0, -1) : prefix)) {
    throw refused(prefix, `'${prefix.slice(0, 80)}' cannot be the prefix of a key`);
  }
}

/** @throws STORAGE_FAILED */
export function checkRange(key: string, { offset, length }: BlobRange): void {
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0) {
    throw refused(key, `${length} bytes from ${offset} cannot be a range of '${key}'`);
  }
}

function refused(key: string, message: string): DormouseError {
  return new DormouseError('STORAGE_FAILED', message, { key });
}

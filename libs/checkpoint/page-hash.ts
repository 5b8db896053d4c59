import { hash } from 'node:crypto';
import { keyBytes, pageBytes, pageHashBytes } from './layout';

/**
 * The hashes of pages, 16 bytes each, one after the other: the heads of SHA-256(content key ‖ page). The input's length is
 * fixed and the digest is cut, so the keyed prefix needs no HMAC around it.
 * @param contentKey 32 bytes
 * @param pages whole pages, one after the other
 */
export function hashPages(contentKey: Uint8Array, pages: Uint8Array): Buffer {
  if (contentKey.length !== keyBytes) throw new RangeError(`a content key has ${keyBytes} bytes`);
  const count = Math.floor(pages.length / pageBytes);
  const hashes = Buffer.allocUnsafe(count * pageHashBytes);
  // One call over one piece is faster than an update for each part.
  const keyed = Buffer.allocUnsafe(keyBytes + pageBytes);
  keyed.set(contentKey);
  for (let page = 0; page < count; page++) {
    keyed.set(pages.subarray(page * pageBytes, (page + 1) * pageBytes), keyBytes);
    hashes.write(hash('sha256', keyed, 'binary'), page * pageHashBytes, pageHashBytes, 'latin1');
  }
  return hashes;
}

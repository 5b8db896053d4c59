import { hash } from 'node:crypto';
import { keyBytes, pageBytes, pageHashBytes } from './layout';

/**
 * The hashes of pages, 16 bytes each, one after the other: the heads of SHA-256(content key ‖ page). The input's length is
 * fixed and the digest is cut, so the keyed prefix needs no HMAC around it.
 * @param contentKey 32 bytes
 * @param offsets where in `memory` each page begins
 */
export function hashPages(contentKey: Uint8Array, memory: Uint8Array, offsets: Uint32Array): Buffer {
  if (contentKey.length !== keyBytes) throw new RangeError(`a content key has ${keyBytes} bytes`);
  const hashes = Buffer.allocUnsafe(offsets.length * pageHashBytes);
  // One call over one piece is faster than an update for each part.
  const keyed = Buffer.allocUnsafe(keyBytes + pageBytes);
  keyed.set(contentKey);
  offsets.forEach((offset, n) => {
    keyed.set(memory.subarray(offset, offset + pageBytes), keyBytes);
    hashes.write(hash('sha256', keyed, 'binary'), n * pageHashBytes, pageHashBytes, 'latin1');
  });
  return hashes;
}

/** The hash of one page. */
export function hashPage(contentKey: Uint8Array, page: Uint8Array): Buffer {
  return hashPages(contentKey, page, firstOnly);
}

/** Where `count` pages begin that lie one after the other. */
export function consecutive(count: number): Uint32Array {
  return Uint32Array.from({ length: count }, (_, n) => n * pageBytes);
}

const firstOnly = consecutive(1);

/** Whether two page hashes are the same. */
export function sameHash(one: Buffer, at: number, other: Buffer, otherAt: number): boolean {
  // Numbers, not `compare`: that is a call out of the engine, and a save makes a million of these.
  return (
    one.readUInt32LE(at) === other.readUInt32LE(otherAt) &&
    one.readUInt32LE(at + 4) === other.readUInt32LE(otherAt + 4) &&
    one.readUInt32LE(at + 8) === other.readUInt32LE(otherAt + 8) &&
    one.readUInt32LE(at + 12) === other.readUInt32LE(otherAt + 12)
  );
}

/** Without making a view of either: for sixteen bytes that takes longer than the copy. */
export function copyHash(from: Buffer, at: number, to: Buffer, toAt: number): void {
  to.writeUInt32LE(from.readUInt32LE(at), toAt);
  to.writeUInt32LE(from.readUInt32LE(at + 4), toAt + 4);
  to.writeUInt32LE(from.readUInt32LE(at + 8), toAt + 8);
  to.writeUInt32LE(from.readUInt32LE(at + 12), toAt + 12);
}

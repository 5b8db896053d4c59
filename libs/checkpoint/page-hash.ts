import { createCipheriv, hash } from 'node:crypto';
import { pageBytes, pageHashBytes } from './layout';

/**
 * The hashes of pages, 16 bytes each, one after the other: the head of SHA-256(page), encrypted as one block with AES-256
 * under the content key. As hard to collide as the digest's head, and without the key as good as random. The key goes on
 * last so that a page is hashed where it stands: to put a key in front of it, it would have to be copied.
 * @param contentKey 32 bytes
 * @param offsets where in `memory` each page begins
 */
export function hashPages(contentKey: Uint8Array, memory: Uint8Array, offsets: Uint32Array): Buffer {
  const heads = Buffer.allocUnsafe(offsets.length * pageHashBytes);
  offsets.forEach((offset, n) => {
    const digest = hash('sha256', memory.subarray(offset, offset + pageBytes), 'binary');
    heads.write(digest, n * pageHashBytes, pageHashBytes, 'latin1');
  });
  return createCipheriv('aes-256-ecb', contentKey, null).setAutoPadding(false).update(heads);
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

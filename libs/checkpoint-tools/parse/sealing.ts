import { createCipheriv, createDecipheriv, createHash, createHmac, hkdfSync } from 'node:crypto';
import { corrupt, unsupported } from '../damage';
import {
  formatVersion,
  hashBytes,
  keyBytes,
  longestPlaintextBytes,
  pageBytes,
  sealedObjects,
  tagBytes,
  type SealedObject,
} from '../format';

const headerBytes = 16;

/** HKDF-SHA-256 of a data key, for one checkpoint and one purpose. */
function derivedKey(dataKey: Buffer, checkpointId: string, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', dataKey, checkpointId, `dormouse ${formatVersion} ${purpose}`, keyBytes));
}

export function manifestSeal(dataKey: Buffer, checkpointId: string, json: Buffer): Buffer {
  return createHmac('sha256', derivedKey(dataKey, checkpointId, 'manifest'))
    .update(json)
    .digest();
}

/** The key of all frames in the packs that this checkpoint wrote. */
export function frameKey(dataKey: Buffer, checkpointId: string): Buffer {
  return derivedKey(dataKey, checkpointId, 'pack');
}

/** The plaintext of a page map or of known pages. @throws CHECKPOINT_CORRUPT, FORMAT_UNSUPPORTED */
export function openSealed(
  kind: SealedObject,
  stored: Buffer,
  { dataKey, checkpointId }: { readonly dataKey: Buffer; readonly checkpointId: string },
  key: string,
): Buffer {
  const header = openHeader(kind, stored, stored.length - headerBytes - tagBytes, key);
  const plaintext = decrypt(
    derivedKey(dataKey, checkpointId, sealedObjects[kind].name),
    Buffer.alloc(12),
    stored.subarray(headerBytes),
    header,
  );
  if (plaintext === null) throw corrupt(key, 'its tag does not match');
  return plaintext;
}

/**
 * The plaintexts of the segments of a wake pack, or of wake pages.
 * @param key authenticated with each
 * @throws CHECKPOINT_CORRUPT, FORMAT_UNSUPPORTED
 */
export function openSegments(
  kind: 'wakePack' | 'wakePages',
  stored: Buffer,
  { dataKey, checkpointId }: { readonly dataKey: Buffer; readonly checkpointId: string },
  key: string,
): Buffer[] {
  const header = openHeader(kind, stored, stored.length - headerBytes, key);
  const segmentKey = derivedKey(dataKey, checkpointId, sealedObjects[kind].name);
  const place = Buffer.concat([header, Buffer.from(key, 'latin1')]);
  const segments: Buffer[] = [];
  let at = headerBytes;
  while (at < stored.length) {
    const bytes = at + 4 > stored.length ? -1 : stored.readUInt32LE(at);
    const end = at + 4 + bytes;
    if (bytes < tagBytes || end > stored.length) throw corrupt(key, 'a segment is cut off', { offset: at });
    const nonce = Buffer.alloc(12);
    nonce.writeUInt32LE(segments.length, 0);
    const plaintext = decrypt(segmentKey, nonce, stored.subarray(at + 4, end), place);
    if (plaintext === null)
      throw corrupt(key, `the tag of its segment ${segments.length} does not match`, { offset: at });
    segments.push(plaintext);
    at = end;
  }
  return segments;
}

/** @param bytes that the header has to name @throws CHECKPOINT_CORRUPT, FORMAT_UNSUPPORTED */
function openHeader(kind: SealedObject, stored: Buffer, bytes: number, key: string): Buffer {
  const { magic, versions, namesLength } = sealedObjects[kind];
  if (stored.length < headerBytes || stored.toString('latin1', 0, 4) !== magic) {
    throw corrupt(key, `it does not begin with ${magic}`, { offset: 0 });
  }
  const version = stored.readUInt16LE(4);
  if (!(versions as readonly number[]).includes(version)) {
    throw unsupported(key, `its version is ${version}, known is ${versions.join(', ')}`);
  }
  const length = stored.readBigUInt64LE(8);
  if (bytes > longestPlaintextBytes || Number(length) !== (namesLength ? bytes : 0)) {
    throw corrupt(key, `it is not as long as it says: ${length} bytes`, { offset: 8 });
  }
  return stored.subarray(0, headerBytes);
}

/** Ciphertext and tag of a frame. @returns null when the tag does not match */
export function decryptFrame(key: Buffer, packNumber: number, offset: number, stored: Buffer): Buffer | null {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32LE(packNumber, 0);
  nonce.writeBigUInt64LE(BigInt(offset), 4);
  return decrypt(key, nonce, stored, null);
}

function decrypt(key: Buffer, nonce: Buffer, sealed: Buffer, additional: Buffer | null): Buffer | null {
  const tagAt = sealed.length - tagBytes;
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: tagBytes });
  if (additional !== null) decipher.setAAD(additional);
  decipher.setAuthTag(sealed.subarray(tagAt));
  const plaintext = decipher.update(sealed.subarray(0, tagAt));
  try {
    decipher.final();
    return plaintext;
  } catch {
    return null; // the one thing `final` throws for: the tag
  }
}

/** The page hash of the 4096 bytes from `offset`. */
export function pageHash(contentKey: Buffer, content: Buffer, offset: number): Buffer {
  const digest = createHash('sha256').update(content.subarray(offset, offset + pageBytes));
  const block = createCipheriv('aes-256-ecb', contentKey, null).setAutoPadding(false);
  return block.update(digest.digest().subarray(0, hashBytes));
}

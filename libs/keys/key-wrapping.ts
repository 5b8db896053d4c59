import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

/** Of data keys and of key-encryption keys. */
export const keyBytes = 32;

const algorithm = 'aes-256-gcm';
/** A random nonce of 96 bits is safe for 2^32 keys under one KEK (NIST SP 800-38D, 8.3). */
const nonceBytes = 12;
const tagBytes = 16;

/** @returns nonce (12) ‖ ciphertext (32) ‖ tag (16); the purpose is the additional data */
export function wrapKey(kek: Buffer, key: Buffer, purpose: string): Buffer {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv(algorithm, kek, nonce, { authTagLength: tagBytes });
  cipher.setAAD(Buffer.from(purpose));
  return Buffer.concat([nonce, cipher.update(key), cipher.final(), cipher.getAuthTag()]);
}

/** @returns null when it was not made by `wrapKey` with this KEK and this purpose */
export function unwrapKey(kek: Buffer, wrapped: Buffer, purpose: string): Buffer | null {
  if (wrapped.length !== nonceBytes + keyBytes + tagBytes) return null;
  const nonce = wrapped.subarray(0, nonceBytes);
  const decipher = createDecipheriv(algorithm, kek, nonce, { authTagLength: tagBytes });
  decipher.setAAD(Buffer.from(purpose)).setAuthTag(wrapped.subarray(-tagBytes));
  const key = decipher.update(wrapped.subarray(nonceBytes, -tagBytes));
  try {
    decipher.final();
    return key;
  } catch {
    return null; // OpenSSL says no more than that the tag does not match
  }
}

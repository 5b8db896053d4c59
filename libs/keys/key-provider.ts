/** A data key as only its provider can read it. */
export interface WrappedKey {
  /** Names the key-encryption key. */
  readonly kekId: string;
  readonly wrapped: Buffer;
}

/**
 * Keeper of the key-encryption keys. What a wrapped key is for (`desktop/<id>`, `content`) is bound into it: under another
 * name it does not unwrap.
 */
export interface KeyProvider {
  /** With the newest key-encryption key. @throws KEY_UNAVAILABLE */
  wrap(key: Buffer, purpose: string): Promise<WrappedKey>;
  /** @throws KEY_REJECTED when it was damaged or is not for this; KEY_UNAVAILABLE */
  unwrap(wrapped: WrappedKey, purpose: string): Promise<Buffer>;
  /** Makes a new key-encryption key, used for wrapping from now on. The older ones go on unwrapping. */
  rotate(): Promise<void>;
}

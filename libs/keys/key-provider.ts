/** A data key as only its provider can read it. */
export interface WrappedKey {
  /** Names the key-encryption key, for people and for finding out what is not yet wrapped with the newest. */
  readonly kekId: string;
  readonly wrapped: Buffer;
}

/**
 * Keeper of the key-encryption keys (KEKs). What a wrapped key is for (`desktop/<id>`, `content`) is bound into it: under
 * another name it does not unwrap.
 */
export interface KeyProvider {
  /** The id of the KEK that wraps now. @throws KEY_UNAVAILABLE */
  currentKek(): Promise<string>;
  /** @param key 32 bytes @throws KEY_UNAVAILABLE */
  wrap(key: Buffer, purpose: string): Promise<WrappedKey>;
  /** @returns 32 bytes @throws KEY_REJECTED when it is damaged, for something else, or of a KEK not there; KEY_UNAVAILABLE */
  unwrap(wrapped: WrappedKey, purpose: string): Promise<Buffer>;
  /**
   * Makes a KEK that wraps from now on; the older ones go on unwrapping. Does nothing where the keeper makes its own.
   * @throws KEY_UNAVAILABLE
   */
  addKek(): Promise<void>;
}

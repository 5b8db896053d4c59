import type { WrappedKey } from './key-provider';

export interface NewKey extends WrappedKey {
  /** A uuid. What is encrypted with the key names it by this id. */
  readonly id: string;
  readonly purpose: string;
}

/** A wrapped key as it is kept. */
export interface KeptKey extends NewKey {
  readonly createdAt: Date;
  /** When the wrapping was last renewed. */
  readonly wrappedAt: Date;
}

export interface WrappedKeyQuery {
  /** Only those of other key-encryption keys than this one. */
  readonly notOfKek?: string;
  /** The last purpose of the page before; null for the first page. */
  readonly after: string | null;
  readonly limit: number;
}

/** Keeper of the wrapped keys; one for each purpose. */
export interface WrappedKeyStore {
  find(purpose: string): Promise<KeptKey | null>;
  /** Leaves one that is there as it is. @returns the one that is kept @throws DESKTOP_UNKNOWN */
  insertIfAbsent(key: NewKey): Promise<KeptKey>;
  /** @returns false, and nothing is changed, when the key is gone or is not wrapped as it was any more */
  replaceIfUnchanged(before: NewKey, now: WrappedKey): Promise<boolean>;
  /** In the order of their purposes. */
  list(query: WrappedKeyQuery): Promise<readonly KeptKey[]>;
  count(query: { readonly notOfKek: string }): Promise<number>;
}

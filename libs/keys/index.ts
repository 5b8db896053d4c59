/**
 * Who keeps the keys that checkpoints are encrypted with: a provider of key-encryption keys (a file, or Vault), and the ring
 * of data keys that it has wrapped. Does not encrypt anything else and knows no database: the wrapped keys' keeper is a port.
 */
export type { KeyProvider, WrappedKey } from './key-provider';
export { KeyRing, type DesktopKey, type Rewrapping } from './key-ring';
export { openKeyProvider, type KeyProviderSettings } from './open-key-provider';
export { contentPurpose, desktopPurpose } from './purpose';
export type { KeptKey, NewKey, WrappedKeyQuery, WrappedKeyStore } from './wrapped-key-store';

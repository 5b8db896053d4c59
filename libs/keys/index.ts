/**
 * Who keeps the keys that checkpoints are encrypted with: a provider of key-encryption keys, and the ring of data keys that
 * it has wrapped. Does not encrypt anything else and knows no database: the wrapped keys' keeper is a port.
 */
export { KeyFile } from './key-file';
export type { KeyProvider, WrappedKey } from './key-provider';
export { KeyRing, type DesktopKey, type KeptKey, type WrappedKeyStore } from './key-ring';
export { openKeyProvider } from './open-key-provider';

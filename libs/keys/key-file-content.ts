import { keyBytes } from './key-wrapping';

export interface KeyEncryptionKey {
  readonly id: string;
  readonly createdAt: Date;
  /** 32 bytes. */
  readonly key: Buffer;
}

/** `{ "keys": [{ "id", "createdAt": ISO 8601, "key": base64 of 32 bytes }, …] }`, the newest last. */
export function formatKeyFile(keys: readonly KeyEncryptionKey[]): string {
  const entries = keys.map(({ id, createdAt, key }) => ({ id, createdAt, key: key.toString('base64') }));
  return `${JSON.stringify({ keys: entries }, null, 2)}\n`;
}

/** @returns at least one key, or null when it is not the text of a key file */
export function parseKeyFile(text: string): readonly KeyEncryptionKey[] | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null; // the caller says that it is no key file; the parser's message would quote its content
  }
  const { keys: entries } = (value ?? {}) as { keys?: unknown };
  if (!Array.isArray(entries) || entries.length === 0) return null;
  const keys = entries.map(parseKey);
  const whole = keys.filter((key) => key !== null);
  const ids = new Set(whole.map(({ id }) => id));
  return whole.length === entries.length && ids.size === whole.length ? whole : null;
}

function parseKey(entry: unknown): KeyEncryptionKey | null {
  const { id, createdAt, key: encoded } = (entry ?? {}) as Record<string, unknown>;
  if (typeof id !== 'string' || id === '' || typeof createdAt !== 'string' || typeof encoded !== 'string') return null;
  const key = Buffer.from(encoded, 'base64');
  // Buffer.from skips what is no base64: only a text that comes out again as it was is one.
  if (key.length !== keyBytes || key.toString('base64') !== encoded) return null;
  return Number.isNaN(Date.parse(createdAt)) ? null : { id, createdAt: new Date(createdAt), key };
}

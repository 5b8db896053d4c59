import { createCipheriv, createDecipheriv, randomBytes, randomUUID } from 'node:crypto';
import { link, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import type { KeyProvider, WrappedKey } from './key-provider';

const algorithm = 'aes-256-gcm';
const keyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;

interface KeyEncryptionKey {
  readonly id: string;
  readonly createdAt: string;
  /** Base64 of 32 bytes. */
  readonly key: string;
}

/**
 * Key-encryption keys in a file of their own, the newest last. For one machine, or for several that share the file.
 * A wrapped key is nonce (12) ‖ ciphertext (32) ‖ tag (16) of AES-256-GCM; the additional data is the purpose.
 */
export class KeyFile implements KeyProvider {
  private constructor(
    private readonly path: string,
    private keys: readonly KeyEncryptionKey[],
  ) {}

  /** Makes the file when there is none. @throws KEY_UNAVAILABLE when it cannot be read, is no key file, or others may read it */
  static async open(path: string): Promise<KeyFile> {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    if (!(await exists(path))) await make(path);
    return new KeyFile(path, await read(path));
  }

  wrap(key: Buffer, purpose: string): Promise<WrappedKey> {
    const kek = this.keys.at(-1)!;
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv(algorithm, Buffer.from(kek.key, 'base64'), nonce);
    cipher.setAAD(Buffer.from(purpose));
    const wrapped = Buffer.concat([nonce, cipher.update(key), cipher.final(), cipher.getAuthTag()]);
    return Promise.resolve({ kekId: kek.id, wrapped });
  }

  async unwrap({ kekId, wrapped }: WrappedKey, purpose: string): Promise<Buffer> {
    // Another process may have rotated the file since it was read here.
    if (!this.keys.some(({ id }) => id === kekId)) this.keys = await read(this.path);
    const kek = this.keys.find(({ id }) => id === kekId);
    if (kek === undefined)
      throw rejected(`${this.path} has no key ${kekId}, which wraps the key of ${purpose}`, purpose);
    if (wrapped.length !== nonceBytes + keyBytes + tagBytes) throw rejected('its length is wrong', purpose);
    const decipher = createDecipheriv(algorithm, Buffer.from(kek.key, 'base64'), wrapped.subarray(0, nonceBytes));
    decipher.setAAD(Buffer.from(purpose)).setAuthTag(wrapped.subarray(-tagBytes));
    try {
      return Buffer.concat([decipher.update(wrapped.subarray(nonceBytes, -tagBytes)), decipher.final()]);
    } catch (cause) {
      throw rejected(`it was damaged, or is not the key of ${purpose}`, purpose, cause);
    }
  }

  async rotate(): Promise<void> {
    const keys = [...(await read(this.path)), newKey()];
    const draft = `${this.path}.${randomUUID()}`;
    await write(draft, keys);
    await rename(draft, this.path);
    await syncDirectory(dirname(this.path));
    this.keys = keys;
  }
}

/** Two processes may start at once: link(2) does not replace, so both read the first one's keys. */
async function make(path: string): Promise<void> {
  const draft = `${path}.${randomUUID()}`;
  try {
    await write(draft, [newKey()]);
    await link(draft, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw unavailable(path, error);
  } finally {
    await rm(draft, { force: true });
  }
}

async function read(path: string): Promise<readonly KeyEncryptionKey[]> {
  try {
    const { mode } = await stat(path);
    if ((mode & 0o077) !== 0) {
      throw new DormouseError('KEY_UNAVAILABLE', `${path} can be read by others: chmod 600 it, and rotate the keys`, {
        path,
      });
    }
    const { keys } = JSON.parse(await readFile(path, 'utf8')) as { keys?: unknown };
    if (Array.isArray(keys) && keys.length > 0 && keys.every(isKey)) return keys;
  } catch (error) {
    throw error instanceof DormouseError ? error : unavailable(path, error);
  }
  throw new DormouseError('KEY_UNAVAILABLE', `${path} is no key file`, { path });
}

async function write(path: string, keys: readonly KeyEncryptionKey[]): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(`${JSON.stringify({ keys }, null, 2)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function newKey(): KeyEncryptionKey {
  return { id: randomUUID(), createdAt: new Date().toISOString(), key: randomBytes(keyBytes).toString('base64') };
}

function isKey(value: unknown): value is KeyEncryptionKey {
  const { id, key } = (value ?? {}) as { id?: unknown; key?: unknown };
  return typeof id === 'string' && typeof key === 'string' && Buffer.from(key, 'base64').length === keyBytes;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => (error.code === 'ENOENT' ? false : Promise.reject(unavailable(path, error))),
  );
}

function unavailable(path: string, cause: unknown): DormouseError {
  return new DormouseError('KEY_UNAVAILABLE', `${path}: ${(cause as Error).message}`, { path }, { cause });
}

function rejected(why: string, purpose: string, cause?: unknown): DormouseError {
  return new DormouseError('KEY_REJECTED', `a wrapped key was not accepted: ${why}`, { purpose }, { cause });
}

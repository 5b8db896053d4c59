import { randomBytes, randomUUID } from 'node:crypto';
import { access, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import { syncDirectory } from '@dormouse/files';
import { withFileLock } from './file-lock';
import { keyRejected, keyUnavailable } from './key-errors';
import { formatKeyFile, parseKeyFile, type KeyEncryptionKey } from './key-file-content';
import type { KeyProvider, WrappedKey } from './key-provider';
import { keyBytes, unwrapKey, wrapKey } from './key-wrapping';

/** A key-encryption key takes about 150 bytes. */
const mostBytes = 1024 * 1024;

/**
 * Key-encryption keys in a file of mode 0600, the newest last; for one machine, or for several that share the file. It is
 * read for every call (calls are rare, the ring remembers): so each process works with the newest KEK at once.
 */
export class KeyFile implements KeyProvider {
  private constructor(private readonly path: string) {}

  /**
   * Makes the file when there is none, and it may.
   * @throws KEY_UNAVAILABLE when it may not, when the file cannot be read, is no key file, or others may read it
   */
  static async open(path: string, mayBeMade: () => Promise<boolean>): Promise<KeyFile> {
    if ((await readIfThere(path)) === null) {
      if (!(await mayBeMade())) throw wouldBeNew(path);
      await make(path);
    }
    await read(path);
    return new KeyFile(path);
  }

  async currentKek(): Promise<string> {
    return newest(await read(this.path)).id;
  }

  async wrap(key: Buffer, purpose: string): Promise<WrappedKey> {
    const kek = newest(await read(this.path));
    return { kekId: kek.id, wrapped: wrapKey(kek.key, key, purpose) };
  }

  async unwrap({ kekId, wrapped }: WrappedKey, purpose: string): Promise<Buffer> {
    const kek = (await read(this.path)).find(({ id }) => id === kekId);
    if (kek === undefined) {
      const advice = 'Is it the file of another machine, or a new one? Bring back the one that was used';
      throw keyRejected(purpose, `${this.path} does not hold the key-encryption key ${kekId}. ${advice}.`);
    }
    const key = unwrapKey(kek.key, wrapped, purpose);
    if (key === null) throw keyRejected(purpose, 'it is damaged, or was made for something else');
    return key;
  }

  addKek(): Promise<void> {
    return withFileLock(`${this.path}.lock`, async () => write(this.path, [...(await read(this.path)), newKey()]));
  }
}

/** Two processes may start at once: the second finds the first one's keys. */
async function make(path: string): Promise<void> {
  // No directory is made for it: a path with a mistake in it would get a key of its own, and nobody would notice.
  await access(dirname(path)).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw unusable(path, error);
    throw keyUnavailable(
      `the directory ${dirname(path)} of the key file does not exist. Correct KEY_URL; if a new key is wanted there, make the directory first.`,
      error,
    );
  });
  await withFileLock(`${path}.lock`, async () => {
    if ((await readIfThere(path)) === null) await write(path, [newKey()]);
  });
}

function wouldBeNew(path: string): DormouseError {
  return keyUnavailable(
    `there is no key file ${path}, and checkpoints need the one that was used so far. Correct KEY_URL, or bring it back.`,
  );
}

async function read(path: string): Promise<readonly KeyEncryptionKey[]> {
  const keys = await readIfThere(path);
  if (keys !== null) return keys;
  throw keyUnavailable(`the key file ${path} is gone. Bring it back: without it no checkpoint can be read.`);
}

async function readIfThere(path: string): Promise<readonly KeyEncryptionKey[] | null> {
  let text: string;
  try {
    const file = await open(path, 'r');
    try {
      const { mode, size } = await file.stat();
      if ((mode & 0o077) !== 0) {
        throw keyUnavailable(
          `the key file ${path} is open to others than its owner. Run \`chmod 600 ${path}\`; if somebody may have read it, rotate the keys as well.`,
        );
      }
      if (size > mostBytes) throw keyUnavailable(`${path} is not a key file: it has ${size} bytes.`);
      text = await file.readFile('utf8');
    } finally {
      await file.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw unusable(path, error);
  }
  const keys = parseKeyFile(text);
  if (keys === null) throw keyUnavailable(`${path} is not a key file, or is damaged. Bring back a copy of it.`);
  return keys;
}

/** Under the lock. The file changes as a whole or not at all; a draft that a killed process left is written over. */
async function write(path: string, keys: readonly KeyEncryptionKey[]): Promise<void> {
  const draft = `${path}.new`;
  try {
    await rm(draft, { force: true });
    const file = await open(draft, 'wx', 0o600);
    try {
      await file.writeFile(formatKeyFile(keys));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    throw unusable(path, error);
  }
}

function newKey(): KeyEncryptionKey {
  return { id: randomUUID(), createdAt: new Date(), key: randomBytes(keyBytes) };
}

function newest(keys: readonly KeyEncryptionKey[]): KeyEncryptionKey {
  return keys.at(-1)!;
}

function unusable(path: string, cause: unknown): DormouseError {
  if (cause instanceof DormouseError) return cause;
  return keyUnavailable(`the key file ${path} cannot be used: ${(cause as Error).message}`, cause);
}

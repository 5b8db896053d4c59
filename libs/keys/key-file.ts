import { randomBytes, randomUUID } from 'node:crypto';
import { link, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DormouseError } from '@dormouse/errors';
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

  /** Makes the file when there is none. @throws KEY_UNAVAILABLE when it cannot be read, is no key file, or others may read it */
  static async open(path: string): Promise<KeyFile> {
    if ((await readIfThere(path)) === null) await make(path);
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

  async addKek(): Promise<void> {
    await withFileLock(`${this.path}.lock`, async () => {
      const draft = await writeDraft(this.path, [...(await read(this.path)), newKey()]);
      try {
        await rename(draft, this.path);
        await syncDirectory(dirname(this.path));
      } catch (error) {
        await rm(draft, { force: true });
        throw unusable(this.path, error);
      }
    });
  }
}

/** Two processes may start at once: link(2) does not replace, so both use the first one's keys. */
async function make(path: string): Promise<void> {
  let draft: string | null = null;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    draft = await writeDraft(path, [newKey()]);
    await link(draft, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw unusable(path, error);
  } finally {
    if (draft !== null) await rm(draft, { force: true });
  }
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

/** @returns the path of the draft, whole and on the disk */
async function writeDraft(path: string, keys: readonly KeyEncryptionKey[]): Promise<string> {
  const draft = `${path}.${randomUUID()}`;
  try {
    const file = await open(draft, 'wx', 0o600);
    try {
      await file.writeFile(formatKeyFile(keys));
      await file.sync();
    } finally {
      await file.close();
    }
    return draft;
  } catch (error) {
    await rm(draft, { force: true });
    throw unusable(path, error);
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
  return { id: randomUUID(), createdAt: new Date(), key: randomBytes(keyBytes) };
}

function newest(keys: readonly KeyEncryptionKey[]): KeyEncryptionKey {
  return keys.at(-1)!;
}

function unusable(path: string, cause: unknown): DormouseError {
  if (cause instanceof DormouseError) return cause;
  return keyUnavailable(`the key file ${path} cannot be used: ${(cause as Error).message}`, cause);
}

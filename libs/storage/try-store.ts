import { randomUUID } from 'node:crypto';
import { DormouseError } from '@dormouse/errors';
import { putBlob, type BlobStore } from './blob-store';

const prefix = 'tries/';

/** Writes a tiny object, reads it and removes it: what a save and a wake need of a store. @throws STORAGE_FAILED, STORAGE_FULL */
export async function tryStore(store: BlobStore): Promise<void> {
  const key = `${prefix}${randomUUID()}`;
  const content = Buffer.from('a try\n');
  await putBlob(store, key, content);
  try {
    if (!(await store.read(key)).equals(content)) {
      throw new DormouseError('STORAGE_FAILED', 'the storage gives back another object than it was given', { key });
    }
  } finally {
    await store.delete(key);
  }
}

/** Removes what tries have left whose processes were killed. */
export async function forgetTries(store: BlobStore, olderThan: Date): Promise<void> {
  for await (const { key, modifiedAt } of store.list(prefix)) {
    if (modifiedAt < olderThan) await store.delete(key);
  }
}

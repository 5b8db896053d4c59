import { DormouseError, isDormouseError } from '@dormouse/errors';
import type { BlobRange, BlobStore } from '@dormouse/storage';
import { corrupt } from './corruption';
import type { CheckpointSecrets } from './encryption';
import { mostStoredBytes } from './layout';
import type { Manifest, ObjectReference } from './manifest-shape';
import { decodeManifest, sha256 } from './manifest';
import { objectKeys, type CheckpointIdentity } from './object-keys';
import type { ObjectStart } from './wake-set-starts';

/**
 * @param secrets null for whoever only wants to know what the checkpoint consists of
 * @throws CHECKPOINT_UNKNOWN when there is none, CHECKPOINT_CORRUPT when it is another one's, CHECKPOINT_KEY_MISMATCH
 */
export async function readManifest(
  store: BlobStore,
  { desktopId, checkpointId }: CheckpointIdentity,
  secrets: CheckpointSecrets | null,
): Promise<Manifest> {
  const key = objectKeys(desktopId, checkpointId).manifest;
  let encoded: Buffer;
  try {
    encoded = await readAtMost(store, key, mostStoredBytes.manifest);
  } catch (cause) {
    if (!isDormouseError(cause, 'STORAGE_OBJECT_MISSING')) throw cause;
    throw new DormouseError(
      'CHECKPOINT_UNKNOWN',
      `there is no checkpoint ${checkpointId} of ${desktopId}`,
      { object: key },
      { cause },
    );
  }
  const manifest = decodeManifest(encoded, secrets, key);
  if (manifest.desktopId !== desktopId || manifest.checkpointId !== checkpointId) {
    throw corrupt(key, `it is the manifest of checkpoint ${manifest.checkpointId} of ${manifest.desktopId}`);
  }
  return manifest;
}

/** A whole object; one that is larger is not read. @throws CHECKPOINT_CORRUPT naming the object; the storage's own error */
export async function readAtMost(store: BlobStore, key: string, most: number): Promise<Buffer> {
  const content = await store.readStart(key, most + 1);
  if (content.length > most) throw corrupt(key, `it is larger than the ${most} bytes that it can have`);
  return content;
}

/**
 * @param most bytes that an object of this kind has
 * @throws CHECKPOINT_INCOMPLETE, CHECKPOINT_CORRUPT naming the object
 */
export async function readObject(
  store: BlobStore,
  key: string,
  { bytes, sha256: digest }: ObjectReference,
  most: number,
): Promise<Buffer> {
  if (bytes > most) throw corrupt(key, `the manifest says ${bytes} bytes, and it has ${most} at most`);
  const content = await present(readAtMost(store, key, bytes), key);
  if (content.length !== bytes || sha256(content) !== digest) {
    throw corrupt(key, 'its digest does not match the manifest');
  }
  return content;
}

/**
 * A range that cannot be read may be a store that comes back, worth trying again, or an object that was cut, which is not.
 * @param bytes of the whole object
 * @throws CHECKPOINT_INCOMPLETE, CHECKPOINT_CORRUPT naming the object; STORAGE_FAILED when the store does not answer
 */
export async function readRange(store: BlobStore, key: string, bytes: number, range: BlobRange): Promise<Buffer> {
  try {
    return await present(store.read(key, range), key);
  } catch (error) {
    if (isDormouseError(error, 'STORAGE_FAILED')) checkBytes(key, (await present(store.stat(key), key)).bytes, bytes);
    throw error;
  }
}

/**
 * @param bytes of the whole object
 * @throws CHECKPOINT_INCOMPLETE, CHECKPOINT_CORRUPT naming the object
 */
export async function readStart({ content, most }: ObjectStart, key: string, bytes: number): Promise<Buffer> {
  const start = await present(content, key);
  if (start.length !== Math.min(most, bytes)) checkBytes(key, start.length, bytes);
  return start;
}

/**
 * @param sizes of the objects that there are
 * @throws CHECKPOINT_INCOMPLETE, CHECKPOINT_CORRUPT naming the object
 */
export function checkFound(key: string, sizes: ReadonlyMap<string, number>, expected: number): void {
  const bytes = sizes.get(key);
  if (bytes === undefined) throw incomplete(key);
  checkBytes(key, bytes, expected);
}

function checkBytes(key: string, bytes: number, expected: number): void {
  if (bytes !== expected) throw corrupt(key, `it has ${bytes} bytes instead of ${expected}`);
}

async function present<T>(read: Promise<T>, object: string): Promise<T> {
  try {
    return await read;
  } catch (cause) {
    if (!isDormouseError(cause, 'STORAGE_OBJECT_MISSING')) throw cause;
    throw incomplete(object, cause);
  }
}

function incomplete(object: string, cause?: unknown): DormouseError {
  return new DormouseError('CHECKPOINT_INCOMPLETE', `${object} is missing`, { object }, { cause });
}

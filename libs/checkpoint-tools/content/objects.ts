import { createHash } from 'node:crypto';
import { isDormouseError } from '@dormouse/errors';
import type { BlobStore } from '@dormouse/storage';
import { corrupt, damage } from '../damage';
import { longestManifestBytes, objectKey, type CheckpointName } from '../format';
import { parseManifest, type ObjectReference, type ReadManifest } from '../parse/manifest';

/**
 * Reads and parses a manifest; its seal is left to whoever has keys.
 * @throws CHECKPOINT_UNKNOWN, CHECKPOINT_CORRUPT, FORMAT_UNSUPPORTED, STORAGE_FAILED
 */
export async function fetchManifest(store: BlobStore, name: CheckpointName): Promise<ReadManifest> {
  const key = objectKey(name, 'manifest');
  const bytes = await sizeOf(store, key, 'CHECKPOINT_UNKNOWN');
  if (bytes > longestManifestBytes) throw corrupt(key, `it has ${bytes} bytes, more than a manifest can have`);
  return parseManifest(await store.read(key), name);
}

/**
 * The stored bytes of an object, as many as the manifest says; their digest is not looked at.
 * @throws CHECKPOINT_INCOMPLETE, CHECKPOINT_CORRUPT, STORAGE_FAILED
 */
export async function fetchObject(store: BlobStore, key: string, { bytes }: ObjectReference): Promise<Buffer> {
  const stored = await sizeOf(store, key, 'CHECKPOINT_INCOMPLETE');
  if (stored !== bytes) throw corrupt(key, `it has ${stored} bytes, the manifest says ${bytes}`);
  return store.read(key, { offset: 0, length: bytes });
}

/** @throws CHECKPOINT_CORRUPT */
export function checkDigest(content: Buffer, { sha256 }: ObjectReference, key: string): void {
  if (createHash('sha256').update(content).digest('hex') !== sha256) throw digestMismatch(key);
}

const digestedAtOnceBytes = 4 * 2 ** 20;

/** Size and digest of an object, without keeping it. @throws as fetchObject and checkDigest */
export async function digestObject(store: BlobStore, key: string, { bytes, sha256 }: ObjectReference): Promise<void> {
  const stored = await sizeOf(store, key, 'CHECKPOINT_INCOMPLETE');
  if (stored !== bytes) throw corrupt(key, `it has ${stored} bytes, the manifest says ${bytes}`);
  const hash = createHash('sha256');
  for (let offset = 0; offset < bytes; offset += digestedAtOnceBytes) {
    hash.update(await store.read(key, { offset, length: Math.min(digestedAtOnceBytes, bytes - offset) }));
  }
  if (hash.digest('hex') !== sha256) throw digestMismatch(key);
}

function digestMismatch(key: string) {
  return corrupt(key, 'its digest is not the one in the manifest');
}

async function sizeOf(
  store: BlobStore,
  key: string,
  missing: 'CHECKPOINT_UNKNOWN' | 'CHECKPOINT_INCOMPLETE',
): Promise<number> {
  try {
    return (await store.stat(key)).bytes;
  } catch (error) {
    if (!isDormouseError(error, 'STORAGE_OBJECT_MISSING')) throw error;
    throw damage(missing, key, 'it is not in the storage', {}, error);
  }
}

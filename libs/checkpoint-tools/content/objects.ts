import { createHash } from 'node:crypto';
import { isDormouseError, type DormouseError } from '@dormouse/errors';
import type { BlobStore } from '@dormouse/storage';
import { corrupt, damage } from '../damage';
import { longestFrameBytes, longestManifestBytes, objectKey, type CheckpointName } from '../format';
import { parseManifest, type ObjectReference, type ReadManifest } from '../parse/manifest';

/**
 * Reads and parses a manifest; its seal is left to whoever has keys.
 * @throws CHECKPOINT_UNKNOWN, CHECKPOINT_CORRUPT, FORMAT_UNSUPPORTED, STORAGE_FAILED
 */
export async function fetchManifest(store: BlobStore, name: CheckpointName): Promise<ReadManifest> {
  const key = objectKey(name, 'manifest');
  const bytes = await sizeOf(store, key, 'CHECKPOINT_UNKNOWN');
  if (bytes > longestManifestBytes) throw corrupt(key, `it has ${bytes} bytes, more than a manifest can have`);
  return parseManifest(await store.read(key, { offset: 0, length: bytes }), name);
}

/**
 * The stored bytes of an object, as many as the manifest says; their digest is not looked at.
 * @throws CHECKPOINT_INCOMPLETE, CHECKPOINT_CORRUPT, STORAGE_FAILED
 */
export async function fetchObject(store: BlobStore, key: string, { bytes }: ObjectReference): Promise<Buffer> {
  await checkSize(store, key, bytes);
  return store.read(key, { offset: 0, length: bytes });
}

/** @throws CHECKPOINT_CORRUPT */
export function checkDigest(content: Buffer, { sha256 }: ObjectReference, key: string): void {
  if (createHash('sha256').update(content).digest('hex') !== sha256) throw digestMismatch(key);
}

/** A piece of an object that is in memory. */
export interface Window {
  readonly offset: number;
  /** Where the next window begins. */
  readonly next: number;
  /** From `offset` on, and so far behind `next` that a frame that begins before it is whole. */
  readonly content: Buffer;
}

const windowBytes = 4 * 2 ** 20;

/**
 * Walks through an object, window by window; those that are not needed are left out.
 * @throws CHECKPOINT_INCOMPLETE, CHECKPOINT_CORRUPT when it has another size, STORAGE_FAILED
 */
export async function* windowsOf(
  store: BlobStore,
  key: string,
  { bytes }: ObjectReference,
  isNeeded: (offset: number, next: number) => boolean = () => true,
): AsyncGenerator<Window> {
  await checkSize(store, key, bytes);
  for (let offset = 0; offset < bytes; offset += windowBytes) {
    const next = Math.min(offset + windowBytes, bytes);
    if (!isNeeded(offset, next)) continue;
    const length = Math.min(next + longestFrameBytes, bytes) - offset;
    yield { offset, next, content: await store.read(key, { offset, length }) };
  }
}

/** Reads an object of any size and checks its digest at the end. @throws as windowsOf; CHECKPOINT_CORRUPT */
export async function digestObject(
  store: BlobStore,
  key: string,
  reference: ObjectReference,
  visit: (window: Window) => void = () => undefined,
): Promise<void> {
  const hash = createHash('sha256');
  for await (const window of windowsOf(store, key, reference)) {
    hash.update(window.content.subarray(0, window.next - window.offset));
    visit(window);
  }
  if (hash.digest('hex') !== reference.sha256) throw digestMismatch(key);
}

function digestMismatch(key: string): DormouseError {
  return corrupt(key, 'its digest is not the one in the manifest');
}

async function checkSize(store: BlobStore, key: string, bytes: number): Promise<void> {
  const stored = await sizeOf(store, key, 'CHECKPOINT_INCOMPLETE');
  if (stored !== bytes) throw corrupt(key, `it has ${stored} bytes, the manifest says ${bytes}`);
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

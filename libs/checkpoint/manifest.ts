import { createHash } from 'node:crypto';
import { corrupt, unsupported } from './corruption';
import { formatVersion, pageBytes } from './layout';

export interface MemoryBlock {
  readonly name: string;
  readonly bytes: number;
}

export interface ObjectReference {
  readonly key: string;
  readonly bytes: number;
  /** Hex. */
  readonly sha256: string;
}

/** Frames carry their own digests, so a pack is named by key and size only. */
export interface PackReference {
  readonly key: string;
  readonly bytes: number;
}

/** Where the guest's pages went. `superseded` pages were stored and then overtaken by a later copy. */
export interface PageCounts {
  readonly total: number;
  readonly zero: number;
  readonly stored: number;
  readonly superseded: number;
}

/** Names all that belongs to a checkpoint. Written last: a checkpoint exists when its manifest does. */
export interface Manifest {
  readonly checkpointId: string;
  readonly desktopId: string;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  /** What the waking machine must be equal in; compared before anything is started. */
  readonly fingerprint: Readonly<Record<string, unknown>>;
  /** The disk generation that was sealed with the memory, or null for a machine without disks. */
  readonly diskGeneration: string | null;
  readonly blocks: readonly MemoryBlock[];
  readonly pageMap: ObjectReference;
  readonly wakePack: ObjectReference;
  readonly packs: readonly PackReference[];
  readonly pages: PageCounts;
}

/** First line: `dormouse-manifest <version> <SHA-256 of the rest, hex>`. The rest is JSON. */
const banner = 'dormouse-manifest';
const longestManifestBytes = 16 * 1024 * 1024;

export function encodeManifest(manifest: Manifest): Buffer {
  const json = JSON.stringify(manifest, null, 1);
  return Buffer.from(`${banner} ${formatVersion} ${sha256(json)}\n${json}`);
}

/** @throws CHECKPOINT_CORRUPT, FORMAT_UNSUPPORTED naming `object` */
export function decodeManifest(encoded: Buffer, object: string): Manifest {
  const lineEnd = encoded.indexOf(0x0a);
  const [word, version, digest] = encoded.toString('latin1', 0, Math.max(lineEnd, 0)).split(' ');
  if (lineEnd < 0 || word !== banner || encoded.length > longestManifestBytes)
    throw corrupt(object, 'it is not a manifest');
  if (version !== String(formatVersion)) throw unsupported(object, `manifest version ${version}`);
  const json = encoded.subarray(lineEnd + 1);
  if (sha256(json) !== digest) throw corrupt(object, 'its digest does not match');
  // Its digest matches, so it is what a writer of this version wrote: only what sizes depend on is checked again.
  const manifest = JSON.parse(json.toString('utf8')) as Manifest;
  for (const block of manifest.blocks) {
    if (!Number.isSafeInteger(block.bytes) || block.bytes <= 0 || block.bytes % pageBytes !== 0) {
      throw corrupt(object, `memory block '${block.name}' of ${block.bytes} bytes`);
    }
  }
  return manifest;
}

export function sha256(content: Buffer | string): string {
  return createHash('sha256').update(content).digest('hex');
}

/** Bytes the checkpoint takes in the store, its manifest apart. */
export function storedBytes(manifest: Manifest): number {
  return manifest.packs.reduce((sum, pack) => sum + pack.bytes, manifest.pageMap.bytes + manifest.wakePack.bytes);
}

import { createHash } from 'node:crypto';
import { corrupt, unsupported } from './corruption';
import { keyMismatch, type CheckpointSecrets } from './encryption';
import { formatVersion, longestManifestBytes, packBytes, pageBytes } from './layout';
import { isManifestShape } from './manifest-shape';

export interface MemoryBlock {
  readonly name: string;
  readonly bytes: number;
}

/** An object under the checkpoint's own prefix. */
export interface ObjectReference {
  readonly bytes: number;
  /** Of the stored bytes, hex. */
  readonly sha256: string;
}

/** A pack of this checkpoint or of an earlier one of the same desktop. */
export interface PackReference extends ObjectReference {
  /** The checkpoint that wrote it. */
  readonly checkpointId: string;
  readonly number: number;
}

/** A file with content of guest pages: `image/<disk>` or `<generation>/<disk>`. */
export interface DiskSource {
  readonly name: string;
  /** Whole disk blocks of 4096 bytes in the file when it was looked at. */
  readonly blocks: number;
}

/** What became of the guest's pages, each counted once; `superseded` copies and the `wakeSet` are counted beside. */
export interface PageCounts {
  readonly total: number;
  readonly zero: number;
  /** The previous checkpoint knew their content. */
  readonly previous: number;
  /** Found in a disk source by this save. */
  readonly disk: number;
  /** Found in a frame of this save. */
  readonly duplicate: number;
  readonly stored: number;
  readonly superseded: number;
  readonly wakeSet: number;
}

/** Names all that belongs to a checkpoint. Written last: a checkpoint exists when its manifest does. */
export interface Manifest {
  readonly checkpointId: string;
  readonly desktopId: string;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  readonly keyId: string;
  readonly lineage: { readonly previous: string | null; readonly depth: number };
  /** What the waking machine must be equal in; compared before anything is started. */
  readonly fingerprint: Readonly<Record<string, unknown>>;
  /** The disk generation that was sealed with the memory, or null for a machine without disks. */
  readonly diskGeneration: string | null;
  readonly diskSources: readonly DiskSource[];
  readonly blocks: readonly MemoryBlock[];
  readonly pageMap: ObjectReference;
  readonly knownPages: ObjectReference;
  readonly wakePack: ObjectReference;
  /** Of the wake set what was written while the guest still ran; null, or missing in older manifests, when there is none. */
  readonly wakePages?: ObjectReference | null;
  readonly packs: readonly PackReference[];
  readonly pages: PageCounts;
  /** Of the stored pages before compression, and of all objects this save wrote, its manifest apart. */
  readonly bytes: { readonly raw: number; readonly written: number };
}

/** First line: `dormouse-manifest <version> <SHA-256 of the rest> <seal of the rest>`, both in hex. The rest is JSON. */
const banner = 'dormouse-manifest';

export function encodeManifest(manifest: Manifest, secrets: CheckpointSecrets): Buffer {
  const json = Buffer.from(JSON.stringify(manifest, null, 1));
  return Buffer.concat([
    Buffer.from(`${banner} ${formatVersion} ${sha256(json)} ${secrets.seal(json).toString('hex')}\n`),
    json,
  ]);
}

/**
 * @param secrets null checks everything but who wrote it: enough to know what a checkpoint keeps alive
 * @throws CHECKPOINT_CORRUPT, FORMAT_UNSUPPORTED, CHECKPOINT_KEY_MISMATCH naming `object`
 */
export function decodeManifest(encoded: Buffer, secrets: CheckpointSecrets | null, object: string): Manifest {
  const lineEnd = encoded.indexOf(0x0a);
  const [word, version, digest, seal, more] = encoded.toString('latin1', 0, Math.max(lineEnd, 0)).split(' ');
  if (lineEnd < 0 || word !== banner || encoded.length > longestManifestBytes)
    throw corrupt(object, 'it is not a manifest');
  if (version !== String(formatVersion)) throw unsupported(object, `manifest version ${version}`);
  const json = encoded.subarray(lineEnd + 1);
  if (seal === undefined || more !== undefined || sha256(json) !== digest)
    throw corrupt(object, 'its digest does not match');
  const manifest = parse(json, object);
  if (secrets !== null) {
    if (manifest.checkpointId !== secrets.checkpointId) {
      throw corrupt(object, `it is the manifest of checkpoint ${manifest.checkpointId}`);
    }
    const { keyId } = secrets.dataKey;
    if (manifest.keyId !== keyId) throw keyMismatch(object, `${object} needs key ${manifest.keyId}, not ${keyId}`);
    secrets.checkSeal(json, seal, object);
  }
  return manifest;
}

function parse(json: Buffer, object: string): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(json.toString('utf8'));
  } catch (cause) {
    throw corrupt(object, 'it is no JSON', cause);
  }
  if (!isManifestShape(value)) throw corrupt(object, 'a member is missing or has another shape');
  for (const { name, bytes } of value.blocks) {
    if (bytes === 0 || bytes % pageBytes !== 0) throw corrupt(object, `memory block '${name}' of ${bytes} bytes`);
  }
  if (value.blocks.length === 0) throw corrupt(object, 'it names no memory');
  if (value.packs.some(({ bytes }) => bytes > packBytes)) throw corrupt(object, 'a pack is larger than packs are');
  return value;
}

export function sha256(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

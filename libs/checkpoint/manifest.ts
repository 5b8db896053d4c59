import { createHash } from 'node:crypto';
import { corrupt, unsupported } from './corruption';
import { keyMismatch, type CheckpointSecrets } from './encryption';
import { formatVersion, longestManifestBytes, packBytes, pageBytes } from './layout';
import { isManifestShape, type Manifest } from './manifest-shape';

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

import { createHash, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { corrupt, damage, unsupported } from '../damage';
import {
  formatVersion,
  longestManifestBytes,
  longestPackBytes,
  objectKey,
  pageBytes,
  type CheckpointKeys,
  type CheckpointName,
} from '../format';
import { manifestSeal } from './sealing';

const count = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);
const id = z.string().regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
const object = { bytes: count, sha256: z.string().regex(/^[0-9a-f]{64}$/) };
/** Names that a stream of QEMU can hold: one byte for the length, Latin-1. */
const blockName = z.string().regex(/^[^\u0100-\uffff]{1,255}$/);

const shape = z.object({
  checkpointId: id,
  desktopId: z.string(),
  createdAt: z.iso.datetime(),
  keyId: z.string(),
  lineage: z.object({ previous: id.nullable(), depth: count }),
  fingerprint: z.record(z.string(), z.unknown()),
  diskGeneration: z.string().nullable(),
  // Never a path: whoever reads brings the files.
  diskSources: z
    .array(z.object({ name: z.string().regex(/^[A-Za-z0-9-]+\/(0|[1-9]\d*)$/), blocks: count.max(2 ** 32) }))
    .max(65_536),
  blocks: z
    .array(z.object({ name: blockName, bytes: count.min(pageBytes).multipleOf(pageBytes) }))
    .min(1)
    .max(65_536),
  pageMap: z.object(object),
  knownPages: z.object(object),
  wakePack: z.object(object),
  wakePages: z.object(object).nullish(),
  packs: z
    .array(
      z.object({ checkpointId: id, number: count.max(2 ** 32 - 1), ...object, bytes: count.max(longestPackBytes) }),
    )
    .max(65_535),
  pages: z.object({
    total: count,
    zero: count,
    previous: count,
    disk: count,
    duplicate: count,
    stored: count,
    superseded: count,
    wakeSet: count,
  }),
  bytes: z.object({ raw: count, written: count }),
});

export type Manifest = Readonly<z.output<typeof shape>>;
export type ObjectReference = Manifest['pageMap'];
export type PackReference = Manifest['packs'][number];

export interface ReadManifest {
  readonly manifest: Manifest;
  /** @throws CHECKPOINT_KEY_MISMATCH when these keys are not those it was written with */
  readonly checkSeal: (keys: CheckpointKeys) => void;
}

const firstLine = /^dormouse-manifest ([^ \n]+) ([0-9a-f]{64}) ([0-9a-f]{64})$/;
/** The words, a version of any length that somebody may come to use, and both digests. */
const longestFirstLine = 256;

/**
 * Reads a manifest, all that can be checked without a key being checked.
 * @throws CHECKPOINT_CORRUPT, FORMAT_UNSUPPORTED naming the manifest
 */
export function parseManifest(stored: Buffer, name: CheckpointName): ReadManifest {
  const key = objectKey(name, 'manifest');
  if (stored.length > longestManifestBytes) throw corrupt(key, 'it is larger than a manifest can be');
  const lineEnd = stored.subarray(0, longestFirstLine).indexOf(0x0a);
  const line = stored.toString('latin1', 0, Math.max(lineEnd, 0));
  if (!line.startsWith('dormouse-manifest ')) throw corrupt(key, 'it does not begin like a manifest');
  const version = line.split(' ')[1];
  if (version !== String(formatVersion)) throw unsupported(key, `its version is ${version}, known is ${formatVersion}`);
  const [, , digest, seal] = firstLine.exec(line) ?? [];
  if (digest === undefined || seal === undefined) throw corrupt(key, 'its first line holds no digest and seal');
  const json = stored.subarray(lineEnd + 1);
  if (createHash('sha256').update(json).digest('hex') !== digest) throw corrupt(key, 'its digest does not match');
  const manifest = parseMembers(json, key);
  for (const member of ['desktopId', 'checkpointId'] as const) {
    if (manifest[member] !== name[member]) throw corrupt(key, `it is that of ${member} ${manifest[member]}`);
  }
  return { manifest, checkSeal: (keys) => checkSeal(manifest, json, seal, keys, key) };
}

function parseMembers(json: Buffer, key: string): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(json.toString('utf8'));
  } catch (cause) {
    throw corrupt(key, 'it holds no JSON', {}, cause);
  }
  const parsed = shape.safeParse(value);
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!;
    throw corrupt(key, `its member ${path.join('.') || '(the whole)'} has not its shape: ${message}`);
  }
  const manifest = parsed.data;
  if (memoryPages(manifest) >= 2 ** 32) throw corrupt(key, 'it has more pages than can be numbered');
  const packs = new Set(manifest.packs.map(({ checkpointId, number }) => `${checkpointId}/${number}`));
  if (packs.size !== manifest.packs.length) throw corrupt(key, 'it names a pack twice');
  return manifest;
}

function checkSeal(manifest: Manifest, json: Buffer, seal: string, { dataKey }: CheckpointKeys, key: string): void {
  if (manifest.keyId !== dataKey.keyId) {
    throw damage('CHECKPOINT_KEY_MISMATCH', key, `it needs the data key ${manifest.keyId}, not ${dataKey.keyId}`);
  }
  if (!timingSafeEqual(manifestSeal(dataKey.key, manifest.checkpointId, json), Buffer.from(seal, 'hex'))) {
    throw damage('CHECKPOINT_KEY_MISMATCH', key, 'its seal does not match: it was not written with the data key');
  }
}

export function memoryPages({ blocks }: Pick<Manifest, 'blocks'>): number {
  return blocks.reduce((sum, { bytes }) => sum + bytes, 0) / pageBytes;
}

import type { Manifest } from './manifest';

/** A check of one value that came from JSON. */
type Shape = (value: unknown) => boolean;

const text: Shape = (value) => typeof value === 'string';
const optional =
  (shape: Shape): Shape =>
  (value) =>
    value === undefined || shape(value);
const orNull =
  (shape: Shape): Shape =>
  (value) =>
    value === null || shape(value);
const count: Shape = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const digest: Shape = (value) => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
const uuid: Shape = (value) => typeof value === 'string' && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(value);
/** `image/0`, `<generation>/0`: never a path. */
const sourceName: Shape = (value) => typeof value === 'string' && /^[A-Za-z0-9][A-Za-z0-9-]*\/\d{1,3}$/.test(value);

const record: Shape = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const object =
  (members: Readonly<Record<string, Shape>>): Shape =>
  (value) =>
    record(value) &&
    Object.entries(members).every(([name, shape]) => shape((value as Readonly<Record<string, unknown>>)[name]));
const list =
  (shape: Shape, most: number): Shape =>
  (value) =>
    Array.isArray(value) && value.length <= most && value.every(shape);

const reference = { bytes: count, sha256: digest };
const mostPacks = 0xffff;

const manifest = object({
  checkpointId: uuid,
  desktopId: text,
  createdAt: text,
  keyId: text,
  lineage: object({ previous: orNull(uuid), depth: count }),
  fingerprint: record,
  diskGeneration: orNull(text),
  diskSources: list(object({ name: sourceName, blocks: count }), mostPacks),
  blocks: list(object({ name: text, bytes: count }), 4096),
  pageMap: object(reference),
  knownPages: object(reference),
  wakePack: object(reference),
  wakePages: optional(orNull(object(reference))),
  packs: list(object({ ...reference, checkpointId: uuid, number: count }), mostPacks),
  pages: object({
    total: count,
    zero: count,
    previous: count,
    disk: count,
    duplicate: count,
    stored: count,
    superseded: count,
    wakeSet: count,
  }),
  bytes: object({ raw: count, written: count }),
});

/** Every member is there, with a value of its kind. */
export function isManifestShape(value: unknown): value is Manifest {
  return manifest(value);
}

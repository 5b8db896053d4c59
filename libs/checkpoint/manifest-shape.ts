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

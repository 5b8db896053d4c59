import { corrupt } from './corruption';
import { HashList } from './hash-list';
import { framePages, pageHashBytes } from './layout';
import type { DiskSource } from './manifest';

const headBytes = 16;
const frameHashesBytes = framePages * pageHashBytes;
/** page hash · u16 disk source · u16 zero · u32 disk block */
const layerEntryBytes = pageHashBytes + 8;

/** A content that stands in a layer of the desktop's disk. */
export interface LayerContent {
  readonly hash: Buffer;
  readonly source: number;
  readonly block: number;
}

/** What content stands where, for the next save. */
export interface KnownPages {
  /** Of the slots of all frames, by their place; that of a dead one may be zero. */
  readonly slotHashes: HashList;
  readonly layers: readonly LayerContent[];
  /** What was learned of the desktop's wakes; opaque here. */
  readonly workingSet: Buffer;
}

/** The plaintext of the object, in parts: most of it stands in memory already. */
export function encodeKnownPages({ slotHashes, layers, workingSet }: KnownPages): Buffer[] {
  const head = Buffer.alloc(headBytes);
  head.writeUInt32LE(slotHashes.length / framePages, 0);
  head.writeUInt32LE(layers.length, 4);
  head.writeUInt32LE(workingSet.length, 8);
  const entries = Buffer.alloc(layers.length * layerEntryBytes);
  layers.forEach(({ hash, source, block }, n) => {
    const at = n * layerEntryBytes;
    hash.copy(entries, at);
    entries.writeUInt16LE(source, at + pageHashBytes);
    entries.writeUInt32LE(block, at + pageHashBytes + 4);
  });
  return [head, ...slotHashes.parts(), entries, workingSet];
}

/** @throws CHECKPOINT_CORRUPT naming `object` */
export function decodeKnownPages(
  plaintext: Buffer,
  about: { readonly frames: number; readonly diskSources: readonly DiskSource[] },
  object: string,
): KnownPages {
  if (plaintext.length < headBytes) throw corrupt(object, 'it is cut off');
  if (plaintext.readUInt32LE(0) !== about.frames) throw corrupt(object, 'it knows of another number of frames');
  const layersAt = headBytes + about.frames * frameHashesBytes;
  const count = plaintext.readUInt32LE(4);
  const workingSetAt = layersAt + count * layerEntryBytes;
  if (workingSetAt + plaintext.readUInt32LE(8) !== plaintext.length)
    throw corrupt(object, 'its lists have other lengths');
  const layers = Array.from({ length: count }, (_, n) => {
    const at = layersAt + n * layerEntryBytes;
    const source = plaintext.readUInt16LE(at + pageHashBytes);
    const block = plaintext.readUInt32LE(at + pageHashBytes + 4);
    if (block >= (about.diskSources[source]?.blocks ?? 0)) throw corrupt(object, `layer entry ${n} points to nowhere`);
    return { hash: plaintext.subarray(at, at + pageHashBytes), source, block };
  });
  const slotHashes = HashList.of(plaintext.subarray(headBytes, layersAt));
  return { slotHashes, layers, workingSet: plaintext.subarray(workingSetAt) };
}

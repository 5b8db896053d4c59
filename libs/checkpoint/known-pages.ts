import { corrupt } from './corruption';
import { HashList } from './hash-list';
import { framePages, pageHashBytes } from './layout';
import type { DiskSource } from './manifest-shape';

/** u32 frames · u32 layer entries · u32 bytes of the working set · u32 zero */
const trailerBytes = 16;
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

/** What stands in the plaintext of the object behind the hashes of all slots. */
export function encodeBehindHashes({ slotHashes, layers, workingSet }: KnownPages): Buffer[] {
  const entries = Buffer.alloc(layers.length * layerEntryBytes);
  layers.forEach(({ hash, source, block }, n) => {
    const at = n * layerEntryBytes;
    hash.copy(entries, at);
    entries.writeUInt16LE(source, at + pageHashBytes);
    entries.writeUInt32LE(block, at + pageHashBytes + 4);
  });
  const trailer = Buffer.alloc(trailerBytes);
  trailer.writeUInt32LE(slotHashes.length / framePages, 0);
  trailer.writeUInt32LE(layers.length, 4);
  trailer.writeUInt32LE(workingSet.length, 8);
  return [entries, workingSet, trailer];
}

/** @throws CHECKPOINT_CORRUPT naming `object` */
export function decodeKnownPages(
  plaintext: Buffer,
  about: { readonly frames: number; readonly diskSources: readonly DiskSource[] },
  object: string,
): KnownPages {
  if (plaintext.length < trailerBytes) throw corrupt(object, 'it is cut off');
  const workingSetEnd = plaintext.length - trailerBytes;
  const trailer = plaintext.subarray(workingSetEnd);
  if (trailer.readUInt32LE(0) !== about.frames) throw corrupt(object, 'it knows of another number of frames');
  const layersAt = about.frames * frameHashesBytes;
  const count = trailer.readUInt32LE(4);
  const workingSetAt = layersAt + count * layerEntryBytes;
  if (workingSetAt + trailer.readUInt32LE(8) !== workingSetEnd) throw corrupt(object, 'its lists have other lengths');
  const layers = Array.from({ length: count }, (_, n) => {
    const at = layersAt + n * layerEntryBytes;
    const source = plaintext.readUInt16LE(at + pageHashBytes);
    const block = plaintext.readUInt32LE(at + pageHashBytes + 4);
    if (block >= (about.diskSources[source]?.blocks ?? 0)) throw corrupt(object, `layer entry ${n} points to nowhere`);
    return { hash: plaintext.subarray(at, at + pageHashBytes), source, block };
  });
  const slotHashes = HashList.of(plaintext.subarray(0, layersAt));
  return { slotHashes, layers, workingSet: plaintext.subarray(workingSetAt, workingSetEnd) };
}

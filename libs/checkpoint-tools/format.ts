/** The numbers of `docs/checkpoint-format.md`, and nothing of the code that writes checkpoints. Integers are little-endian. */
import { safeName } from '@dormouse/text';

export const formatVersion = 3;
export const pageBytes = 4096;
export const slotsPerFrame = 16;
export const frameBytes = slotsPerFrame * pageBytes;
export const entriesPerRun = 65_536;
export const longestManifestBytes = 16 * 2 ** 20;
export const longestPackBytes = 64 * 2 ** 20;
/** Of an object with a header. */
export const longestPlaintextBytes = 2 ** 30;
export const keyBytes = 32;
export const tagBytes = 16;
/** As it is stored, tag included. */
export const longestFrameBytes = frameBytes + tagBytes;
export const hashBytes = 16;
/** Of a segment of the wake pack. */
export const segmentPages = 64;
/** The number of a place in it that is not used. */
export const noPage = 0xffffffff;
export const pageTagBytes = 8;

export const kinds = { zero: 1, frame: 2, disk: 3 } as const;
export const encodings = { plain: 0, zstd: 1 } as const;

/** The objects with a header, by the member of the manifest that names them. One names its length in it, or zero. */
export const sealedObjects = {
  pageMap: { name: 'page-map', magic: 'DMPM', versions: [3], namesLength: true },
  knownPages: { name: 'known-pages', magic: 'DMKP', versions: [4], namesLength: false },
  wakePack: { name: 'wake-pack', magic: 'DMWP', versions: [3, 4], namesLength: true },
  wakePages: { name: 'wake-pages', magic: 'DMWS', versions: [4], namesLength: true },
} as const;

export type SealedObject = keyof typeof sealedObjects;

/** What a deployment's checkpoints of one desktop are read with. */
export interface CheckpointKeys {
  readonly dataKey: { readonly keyId: string; /** 32 bytes. */ readonly key: Buffer };
  /** 32 bytes. */
  readonly contentKey: Buffer;
}

export interface CheckpointName {
  readonly desktopId: string;
  readonly checkpointId: string;
}

export function objectKey({ desktopId, checkpointId }: CheckpointName, object: string): string {
  return `desktops/${safeName(desktopId)}/checkpoints/${checkpointId}/${object}`;
}

/** The key of a pack that a manifest names; it lies with the checkpoint that wrote it. */
export function packKey(desktopId: string, pack: { readonly checkpointId: string; readonly number: number }): string {
  return objectKey({ desktopId, checkpointId: pack.checkpointId }, `pack-${String(pack.number).padStart(5, '0')}`);
}

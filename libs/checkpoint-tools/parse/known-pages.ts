import { corrupt } from '../damage';
import { hashBytes, slotsPerFrame } from '../format';

export interface KnownPages {
  /** Sixteen page hashes for each frame; that of a dead slot may be zero. */
  readonly frameHashes: Buffer;
  readonly layers: LayerEntries;
}

export interface LayerEntries {
  readonly count: number;
  /** One page hash each. */
  readonly hashes: Buffer;
  readonly source: Uint16Array;
  readonly block: Uint32Array;
}

const trailerBytes = 16;
const layerEntryBytes = 24;

/** @param frames in the page map @throws CHECKPOINT_CORRUPT naming `key` */
export function parseKnownPages(plaintext: Buffer, frames: number, key: string): KnownPages {
  const trailerAt = plaintext.length - trailerBytes;
  if (trailerAt < 0) throw corrupt(key, 'it is too short');
  const says = plaintext.readUInt32LE(trailerAt);
  if (says !== frames) throw corrupt(key, `it is about ${says} frames, the page map has ${frames}`);
  const count = plaintext.readUInt32LE(trailerAt + 4);
  const layersAt = frames * slotsPerFrame * hashBytes;
  const workingSetAt = layersAt + count * layerEntryBytes;
  if (workingSetAt + plaintext.readUInt32LE(trailerAt + 8) !== trailerAt)
    throw corrupt(key, 'its lengths do not add up to its own');
  const layers = {
    count,
    hashes: Buffer.alloc(count * hashBytes),
    source: new Uint16Array(count),
    block: new Uint32Array(count),
  };
  for (let n = 0; n < count; n++) {
    const at = layersAt + n * layerEntryBytes;
    plaintext.copy(layers.hashes, n * hashBytes, at, at + hashBytes);
    layers.source[n] = plaintext.readUInt16LE(at + 16);
    layers.block[n] = plaintext.readUInt32LE(at + 20);
  }
  return { frameHashes: plaintext.subarray(0, layersAt), layers };
}

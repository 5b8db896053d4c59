import { createHash, type Hash } from 'node:crypto';
import { compressFrame, sealFrame } from './frame-codec';
import { frameBytes, tagBytes } from './layout';

/**
 * A pack with this much in it is closed: what the last one has not yet made durable when the guest freezes is what its
 * user waits for. The format allows more.
 */
export const fullPackBytes = 16 * 1024 * 1024;

/** Frames as they are stored, one after the other. */
export interface SealedFrames {
  /** Number of the pack they lie in, among those of this save, and where in it. */
  readonly pack: number;
  readonly offset: number;
  /** Valid until the memory that was sealed is used again. */
  readonly bytes: Buffer;
  /** Of each frame, in their order: how it is stored, and the length of that. */
  readonly encodings: Uint8Array;
  readonly lengths: Uint32Array;
}

/**
 * Frames, and what they become, in the same place: none becomes longer than itself and its tag, and before the first there
 * is room for all tags, so what is sealed never reaches a frame that is still to be. Used again and again: a collector would
 * not keep up.
 */
export interface SealingMemory {
  readonly frames: Buffer;
  readonly sealed: Buffer;
}

/** @param memory of `sealingBytes(most)` bytes */
export function sealingMemory(memory: Buffer, most: number): SealingMemory {
  return { frames: memory.subarray(most * tagBytes), sealed: memory };
}

export const sealingBytes = (most: number): number => most * (tagBytes + frameBytes);

/** Compresses and encrypts frames, and knows where they will lie: their place is part of how they are encrypted. */
export interface FrameSealer {
  /** For `most` frames at once. */
  allocate(most: number): SealingMemory;
  /** The first `count` frames. Answers come in the order of the calls. */
  seal(memory: SealingMemory, count: number): Promise<SealedFrames>;
  /** What is sealed from now on lies in another pack. */
  endPack(): void;
  /** SHA-256 in hex of each pack, when all frames are sealed. */
  digests(): Promise<readonly string[]>;
}

/** The work itself, on whatever thread: one in a process, see `zstd-binding.ts`. */
export class FrameSealing {
  private readonly packs: Hash[] = [];
  private packedBytes = 0;

  /** @param packKey of the checkpoint that writes the packs */
  constructor(private readonly packKey: Uint8Array) {}

  seal({ frames, sealed }: SealingMemory, count: number): SealedFrames {
    const compressed = Array.from({ length: count }, (_, n) =>
      compressFrame(frames.subarray(n * frameBytes, (n + 1) * frameBytes)),
    );
    const lengths = Uint32Array.from(compressed, ({ bytes }) => bytes.length + tagBytes);
    const length = lengths.reduce((sum, one) => sum + one, 0);
    if (this.packs.length === 0 || this.packedBytes + length > fullPackBytes) {
      this.packs.push(createHash('sha256'));
      this.packedBytes = 0;
    }
    const [pack, offset] = [this.packs.length - 1, this.packedBytes];
    const bytes = sealed.subarray(0, length);
    let at = 0;
    for (const frame of compressed) {
      at += sealFrame(frame, { number: pack, key: this.packKey }, offset + at, bytes.subarray(at));
    }
    this.packs[pack]!.update(bytes);
    this.packedBytes += length;
    const encodings = Uint8Array.from(compressed, ({ encoding }) => encoding);
    return { pack, offset, bytes, encodings, lengths };
  }

  endPack(): void {
    this.packedBytes = fullPackBytes;
  }

  digests(): string[] {
    return this.packs.map((pack) => pack.copy().digest('hex'));
  }
}

/** On the caller's thread. */
export function sealHere(packKey: Uint8Array): FrameSealer {
  const sealing = new FrameSealing(packKey);
  return {
    allocate: (most) => sealingMemory(Buffer.alloc(sealingBytes(most)), most),
    seal: (memory, count) => Promise.resolve(sealing.seal(memory, count)),
    endPack: () => sealing.endPack(),
    digests: () => Promise.resolve(sealing.digests()),
  };
}

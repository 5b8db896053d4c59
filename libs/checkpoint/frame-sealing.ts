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
  readonly bytes: Uint8Array;
  /** Of each frame, in their order: how it is stored, and the length of that. */
  readonly encodings: Uint8Array;
  readonly lengths: Uint32Array;
}

/** Compresses and encrypts frames, and knows where they will lie: their place is part of how they are encrypted. */
export interface FrameSealer {
  /** Memory for frames that `seal` can pass on without copying. */
  allocate(bytes: number): Buffer;
  /** The first `frames` frames of such memory. Answers come in the order of the calls. */
  seal(memory: Buffer, frames: number): Promise<SealedFrames>;
  /** SHA-256 in hex of each pack, when all frames are sealed. */
  digests(): Promise<readonly string[]>;
}

/** The work itself, on whatever thread. */
export class FrameSealing {
  private readonly packs: Hash[] = [];
  private packedBytes = 0;

  /** @param packKey of the checkpoint that writes the packs */
  constructor(private readonly packKey: Uint8Array) {}

  seal(memory: Buffer, frames: number): SealedFrames {
    const compressed = Array.from({ length: frames }, (_, n) =>
      compressFrame(memory.subarray(n * frameBytes, (n + 1) * frameBytes)),
    );
    const lengths = Uint32Array.from(compressed, ({ bytes }) => bytes.length + tagBytes);
    const length = lengths.reduce((sum, one) => sum + one, 0);
    if (this.packs.length === 0 || this.packedBytes + length > fullPackBytes) {
      this.packs.push(createHash('sha256'));
      this.packedBytes = 0;
    }
    const secret = { number: this.packs.length - 1, key: this.packKey };
    const offset = this.packedBytes;
    const bytes = Buffer.allocUnsafeSlow(length); // of its own: it may be handed to another thread
    let at = 0;
    for (const frame of compressed) at += sealFrame(frame, secret, offset + at).copy(bytes, at);
    this.packs.at(-1)!.update(bytes);
    this.packedBytes += length;
    const encodings = Uint8Array.from(compressed, ({ encoding }) => encoding);
    return { pack: secret.number, offset, bytes, encodings, lengths };
  }

  digests(): string[] {
    return this.packs.map((pack) => pack.copy().digest('hex'));
  }
}

/** On the caller's thread. */
export function sealHere(packKey: Uint8Array): FrameSealer {
  const sealing = new FrameSealing(packKey);
  return {
    allocate: (bytes) => Buffer.alloc(bytes),
    seal: (memory, frames) => Promise.resolve(sealing.seal(memory, frames)),
    digests: () => Promise.resolve(sealing.digests()),
  };
}

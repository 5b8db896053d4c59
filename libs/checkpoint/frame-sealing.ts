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
  /** A pack that was complete before these. */
  readonly completes: number | null;
}

/** Compresses and encrypts frames, and knows where they will lie: their place is part of how they are encrypted. */
export interface FrameSealer {
  /** Memory for frames that `seal` can pass on without copying. */
  allocate(bytes: number): Buffer;
  /** The first `frames` frames of such memory. */
  seal(memory: Buffer, frames: number): Promise<SealedFrames>;
  /** SHA-256 in hex of each pack by its number, when all frames are sealed. */
  digests(): Promise<ReadonlyMap<number, string>>;
}

/** The work itself, on whatever thread. Several that work side by side fill packs of their own. */
export class FrameSealing {
  private readonly packs = new Map<number, Hash>();
  private pack: number;
  private packedBytes = 0;

  /**
   * @param packKey of the checkpoint that writes the packs
   * @param first number of its first pack; the next ones follow at a distance of `step`
   */
  constructor(
    private readonly packKey: Uint8Array,
    first = 0,
    private readonly step = 1,
  ) {
    this.pack = first;
  }

  seal(memory: Buffer, frames: number): SealedFrames {
    const compressed = Array.from({ length: frames }, (_, n) =>
      compressFrame(memory.subarray(n * frameBytes, (n + 1) * frameBytes)),
    );
    const lengths = Uint32Array.from(compressed, ({ bytes }) => bytes.length + tagBytes);
    const length = lengths.reduce((sum, one) => sum + one, 0);
    let completes: number | null = null;
    if (this.packedBytes + length > fullPackBytes) {
      completes = this.pack;
      this.pack += this.step;
      this.packedBytes = 0;
    }
    const [pack, offset] = [this.pack, this.packedBytes];
    const bytes = Buffer.allocUnsafeSlow(length); // of its own: it may be handed to another thread
    let at = 0;
    for (const frame of compressed) {
      at += sealFrame(frame, { number: pack, key: this.packKey }, offset + at).copy(bytes, at);
    }
    this.digestOf(pack).update(bytes);
    this.packedBytes += length;
    const encodings = Uint8Array.from(compressed, ({ encoding }) => encoding);
    return { pack, offset, bytes, encodings, lengths, completes };
  }

  digests(): Map<number, string> {
    return new Map([...this.packs].map(([pack, digest]) => [pack, digest.copy().digest('hex')]));
  }

  private digestOf(pack: number): Hash {
    let digest = this.packs.get(pack);
    if (digest === undefined) this.packs.set(pack, (digest = createHash('sha256')));
    return digest;
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

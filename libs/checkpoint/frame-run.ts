import { openFrame, type PackSecret } from './frame-codec';
import type { FrameTable } from './frame-table';

/** Frames that were read together, as they are stored; opened when somebody wants them. */
export class FrameRun {
  constructor(
    private readonly frames: FrameTable,
    private readonly pack: PackSecret & { readonly object: string },
    readonly first: number,
    readonly count: number,
    private readonly stored: Buffer,
  ) {}

  /** As they are stored. */
  get bytes(): number {
    return this.stored.length;
  }

  /** The pages of one frame. @throws CHECKPOINT_CORRUPT */
  open(frame: number): Buffer {
    return openFrame(this.bytesOf(frame), this.frames.get(frame), this.pack, this.pack.object);
  }

  private bytesOf(frame: number): Buffer {
    const { offset, length } = this.frames.get(frame);
    const at = offset - this.frames.get(this.first).offset;
    return this.stored.subarray(at, at + length);
  }
}

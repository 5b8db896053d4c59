import { decodeFrame, decodeFrameNow } from './frame-codec';
import type { FrameTable } from './frame-table';

/** Frames that were read together, as they are stored; decoded when somebody wants them. */
export class FrameRun {
  constructor(
    private readonly frames: FrameTable,
    private readonly object: string,
    readonly first: number,
    readonly count: number,
    private readonly stored: Buffer,
  ) {}

  /** The pages of one frame, on the caller's thread: for a guest that waits for it. @throws CHECKPOINT_CORRUPT */
  decodeNow(frame: number): Buffer {
    return decodeFrameNow(this.bytesOf(frame), this.frames.get(frame), this.object);
  }

  /** The pages of one frame, on the thread pool. @throws CHECKPOINT_CORRUPT */
  decode(frame: number): Promise<Buffer> {
    return decodeFrame(this.bytesOf(frame), this.frames.get(frame), this.object);
  }

  private bytesOf(frame: number): Buffer {
    const { offset, length } = this.frames.get(frame);
    const at = offset - this.frames.get(this.first).offset;
    return this.stored.subarray(at, at + length);
  }
}

import type { FrameSealer, SealedFrames } from './frame-sealing';
import type { SealAnswer, SealQuestion } from './seal-thread';
import { ThreadCalls } from './thread-calls';

/** Seals frames on a thread of its own: compressing takes as long as reading the guest's memory. */
export class SealThread implements FrameSealer {
  private readonly thread: ThreadCalls<SealQuestion | null, SealAnswer>;

  constructor(packKey: Uint8Array) {
    this.thread = new ThreadCalls('seal-thread.js', { packKey: Uint8Array.from(packKey) });
  }

  allocate(bytes: number): Buffer {
    return Buffer.from(new SharedArrayBuffer(bytes));
  }

  /** @param memory from `allocate` */
  async seal(memory: Buffer, frames: number): Promise<SealedFrames> {
    const shared = memory.buffer as unknown as SharedArrayBuffer;
    return (await this.thread.ask({ shared, frames })) as SealedFrames;
  }

  async digests(): Promise<readonly string[]> {
    return (await this.thread.ask(null)) as readonly string[];
  }

  close(): Promise<void> {
    return this.thread.close();
  }
}

import { join } from 'node:path';
import { sealingBytes, sealingMemory, type FrameSealer, type SealedFrames, type SealingMemory } from './frame-sealing';
import { frameBytes } from './layout';
import type { SealAnswer, SealQuestion } from './seal-thread';
import { ThreadCalls } from './thread-calls';

/** Seals frames on a thread of its own, so that whoever reads the guest's memory goes on reading. One in a process. */
export class SealThread implements FrameSealer {
  private readonly thread: ThreadCalls<SealQuestion, SealAnswer>;

  constructor(packKey: Uint8Array) {
    this.thread = new ThreadCalls(join(__dirname, 'seal-thread.js'), { packKey: Uint8Array.from(packKey) });
  }

  allocate(most: number): SealingMemory {
    return sealingMemory(Buffer.from(new SharedArrayBuffer(sealingBytes(most))), most);
  }

  /** @param memory from `allocate` */
  async seal({ frames, sealed }: SealingMemory, count: number): Promise<SealedFrames> {
    const shared = frames.buffer as unknown as SharedArrayBuffer;
    const most = frames.length / frameBytes;
    const { length, ...about } = (await this.thread.ask({ shared, most, count })) as Exclude<
      SealAnswer,
      readonly string[]
    >;
    return { ...about, bytes: sealed.subarray(0, length) };
  }

  async digests(): Promise<readonly string[]> {
    return (await this.thread.ask(null)) as readonly string[];
  }

  close(): Promise<void> {
    return this.thread.close();
  }
}

import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { sealingBytes, sealingMemory, type FrameSealer, type SealedFrames, type SealingMemory } from './frame-sealing';
import { frameBytes } from './layout';
import type { SealAnswer, SealQuestion, SealSetUp } from './seal-thread';
import { startThread, ThreadCalls } from './thread-calls';

/** A thread for `SealThread`, before it is known whose frames it seals. */
export function startSealThread(): Worker {
  return startThread(join(__dirname, 'seal-thread.js'));
}

/** Seals frames on a thread of its own, so that whoever reads the guest's memory goes on reading. One in a process. */
export class SealThread implements FrameSealer {
  private readonly thread: ThreadCalls<SealQuestion, SealAnswer>;

  /** @param thread nobody else's */
  constructor(packKey: Uint8Array, thread: Worker = startSealThread()) {
    this.thread = new ThreadCalls(thread, { packKey: Uint8Array.from(packKey) } satisfies SealSetUp);
  }

  allocate(most: number): SealingMemory {
    return sealingMemory(Buffer.from(new SharedArrayBuffer(sealingBytes(most))), most);
  }

  /** @param memory from `allocate` */
  async seal({ frames, sealed }: SealingMemory, count: number): Promise<SealedFrames> {
    const shared = frames.buffer as unknown as SharedArrayBuffer;
    const most = frames.length / frameBytes;
    const answer = await this.thread.ask({ memory: this.thread.numberOf(shared), most, count });
    const { length, ...about } = answer as Exclude<SealAnswer, readonly string[] | null>;
    return { ...about, bytes: sealed.subarray(0, length) };
  }

  endPack(): void {
    this.thread.ask('endPack').catch(() => undefined); // a thread that has died fails what is asked of it next
  }

  async digests(): Promise<readonly string[]> {
    return (await this.thread.ask('digests')) as readonly string[];
  }

  /** Leaves the thread to another. Everything that was asked must have been answered. */
  release(): void {
    this.thread.release();
  }

  close(): Promise<void> {
    return this.thread.close();
  }
}

import type { FrameSealer, SealedFrames } from './frame-sealing';
import type { SealAnswer, SealQuestion, SealThreadData } from './seal-thread';
import { ThreadCalls } from './thread-calls';

/**
 * Seals frames on threads of its own: compressing takes longer than reading the guest's memory, and what must be stored
 * comes in stretches.
 */
export class SealThreads implements FrameSealer {
  private readonly threads: ThreadCalls<SealQuestion, SealAnswer>[];
  private next = 0;

  constructor(packKey: Uint8Array, threads: number) {
    this.threads = Array.from({ length: threads }, (_, firstPack) => {
      const data: SealThreadData = { packKey: Uint8Array.from(packKey), firstPack, packStep: threads };
      return new ThreadCalls('seal-thread.js', data);
    });
  }

  allocate(bytes: number): Buffer {
    return Buffer.from(new SharedArrayBuffer(bytes));
  }

  /** @param memory from `allocate` */
  async seal(memory: Buffer, frames: number): Promise<SealedFrames> {
    const shared = memory.buffer as unknown as SharedArrayBuffer;
    return (await this.threads[this.next++ % this.threads.length]!.ask({ shared, frames })) as SealedFrames;
  }

  async digests(): Promise<ReadonlyMap<number, string>> {
    const all = await Promise.all(this.threads.map((thread) => thread.ask(null)));
    return new Map(all.flatMap((digests) => [...(digests as ReadonlyMap<number, string>)]));
  }

  async close(): Promise<void> {
    await Promise.all(this.threads.map((thread) => thread.close()));
  }
}

import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import type { PageHasher } from './checkpoint-writer';
import type { HashAnswer, HashQuestion, HashSetUp } from './hash-thread';
import { startThread, ThreadCalls } from './thread-calls';

/** A thread for `HashThreads`, before it is known whose pages it hashes. */
export function startHashThread(): Worker {
  return startThread(join(__dirname, 'hash-thread.js'));
}

/** Hashes pages on threads of its own, so that whoever reads the guest's memory goes on reading. */
export class HashThreads implements PageHasher {
  private readonly threads: ThreadCalls<HashQuestion, HashAnswer>[];
  private next = 0;

  /** @param threads at least one, nobody else's */
  constructor(contentKey: Buffer, threads: readonly Worker[] = [startHashThread()]) {
    const setUp: HashSetUp = { contentKey: Uint8Array.from(contentKey) };
    this.threads = threads.map((thread) => new ThreadCalls(thread, setUp));
  }

  allocate(bytes: number): Buffer {
    return Buffer.from(new SharedArrayBuffer(bytes));
  }

  /** @param memory from `allocate` */
  async hash(memory: Buffer, offsets: Uint32Array): Promise<Buffer> {
    const shared = memory.buffer as unknown as SharedArrayBuffer;
    const thread = this.threads[this.next++ % this.threads.length]!;
    const hashes = await thread.ask({ memory: thread.numberOf(shared), offsets });
    return Buffer.from(hashes.buffer, hashes.byteOffset, hashes.byteLength);
  }

  /** Leaves the threads to others. Everything that was asked must have been answered. */
  release(): void {
    for (const thread of this.threads) thread.release();
  }

  async close(): Promise<void> {
    await Promise.all(this.threads.map((thread) => thread.close()));
  }
}

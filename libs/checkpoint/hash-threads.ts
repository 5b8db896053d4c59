import { join } from 'node:path';
import type { PageHasher } from './checkpoint-writer';
import type { HashAnswer, HashQuestion } from './hash-thread';
import { ThreadCalls } from './thread-calls';

/** Hashes pages on threads of its own, so that whoever reads the guest's memory goes on reading. */
export class HashThreads implements PageHasher {
  private readonly threads: ThreadCalls<HashQuestion, HashAnswer>[];
  private next = 0;

  constructor(contentKey: Buffer, threads: number) {
    const workerData = { contentKey: Uint8Array.from(contentKey) };
    const program = join(__dirname, 'hash-thread.js');
    this.threads = Array.from({ length: threads }, () => new ThreadCalls(program, workerData));
  }

  allocate(bytes: number): Buffer {
    return Buffer.from(new SharedArrayBuffer(bytes));
  }

  /** @param memory from `allocate` */
  async hash(memory: Buffer, offsets: Uint32Array): Promise<Buffer> {
    const shared = memory.buffer as unknown as SharedArrayBuffer;
    const hashes = await this.threads[this.next++ % this.threads.length]!.ask({ shared, offsets });
    return Buffer.from(hashes.buffer, hashes.byteOffset, hashes.byteLength);
  }

  async close(): Promise<void> {
    await Promise.all(this.threads.map((thread) => thread.close()));
  }
}

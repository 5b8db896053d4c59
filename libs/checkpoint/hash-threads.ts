import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { DormouseError } from '@dormouse/errors';
import type { PageHasher } from './checkpoint-writer';
import type { HashReply, HashRequest } from './hash-thread';

interface Waiting {
  readonly resolve: (hashes: Buffer) => void;
  readonly reject: (error: Error) => void;
}

/** Hashes pages on threads of its own, so that whoever reads the guest's memory goes on reading. */
export class HashThreads implements PageHasher {
  private readonly threads: Worker[];
  private readonly waiting = new Map<number, Waiting>();
  private next = 0;
  private failure: Error | null = null;

  constructor(contentKey: Buffer, threads: number) {
    this.threads = Array.from({ length: threads }, () => {
      const thread = new Worker(join(__dirname, 'hash-thread.js'), {
        workerData: { contentKey: Uint8Array.from(contentKey) },
        resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 4 },
      });
      thread.on('message', (reply: HashReply) => this.hear(reply));
      thread.on('error', (error: Error) => this.fail(error));
      thread.unref();
      return thread;
    });
  }

  allocate(bytes: number): Buffer {
    return Buffer.from(new SharedArrayBuffer(bytes));
  }

  /** @param memory from `allocate` */
  hash(memory: Buffer, offsets: Uint32Array): Promise<Buffer> {
    const number = this.next++;
    return new Promise((resolve, reject) => {
      if (this.failure !== null) return reject(this.failure);
      this.waiting.set(number, { resolve, reject });
      const shared = memory.buffer as unknown as SharedArrayBuffer;
      this.threads[number % this.threads.length]!.postMessage({ number, shared, offsets } satisfies HashRequest);
    });
  }

  async close(): Promise<void> {
    this.fail(new DormouseError('CANCELLED', 'no more pages are hashed'));
    await Promise.all(this.threads.map((thread) => thread.terminate()));
  }

  private hear({ number, hashes }: HashReply): void {
    this.waiting.get(number)?.resolve(Buffer.from(hashes.buffer, hashes.byteOffset, hashes.byteLength));
    this.waiting.delete(number);
  }

  private fail(error: Error): void {
    this.failure ??= error;
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }
}

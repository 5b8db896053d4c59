import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startRedis, type EmbeddedRedis } from '@dormouse/embedded';
import type { JobLog } from '@dormouse/jobs';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';

export const silent: JobLog = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** A Redis of its own that can be stopped, started again, and lose everything in between. */
export class RedisFixture {
  private redis: EmbeddedRedis | null = null;

  private constructor(
    private readonly directory: string,
    readonly socketPath: string,
  ) {}

  static async start(directory: string): Promise<RedisFixture> {
    const redis = await startRedis({ directory, log: () => undefined });
    const fixture = new RedisFixture(directory, redis.socketPath);
    fixture.redis = redis;
    return fixture;
  }

  async stop(): Promise<void> {
    await this.redis?.stop();
    this.redis = null;
  }

  async startAgain({ empty }: { empty: boolean }): Promise<void> {
    if (empty) await rm(join(this.directory, 'redis', 'appendonlydir'), { recursive: true });
    this.redis = await startRedis({ directory: this.directory, log: () => undefined });
    expect(this.redis.socketPath).toBe(this.socketPath);
  }

  /** The ids of all jobs of a queue that are yet to be done. */
  async jobIds(queueName: string): Promise<string[]> {
    return this.with(queueName, async (queue) => {
      const jobs = await queue.getJobs(['waiting', 'active', 'delayed', 'prioritized', 'failed', 'completed']);
      return jobs.map(({ id }) => id ?? '').sort();
    });
  }

  async with<T>(queueName: string, work: (queue: Queue) => Promise<T>): Promise<T> {
    const connection = new Redis(this.socketPath, { maxRetriesPerRequest: null });
    const queue = new Queue(queueName, { connection });
    try {
      return await work(queue);
    } finally {
      await queue.close();
      connection.disconnect();
    }
  }
}

/** Asks until the answer is yes; fails with the last answer's description after `patienceMs`. */
export async function eventually(ask: () => boolean | Promise<boolean>, patienceMs = 10_000): Promise<void> {
  const end = Date.now() + patienceMs;
  while (!(await ask())) {
    if (Date.now() > end) throw new Error(`still not so after ${patienceMs} ms: ${ask.toString()}`);
    await sleep(20);
  }
}

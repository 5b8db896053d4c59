import type { OutboxEntity } from '@dormouse/persistence';
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { DataSource, EntityManager } from 'typeorm';
import { jobNames, jobOptions } from './job-table';
import type { JobName } from '@dormouse/ledger';
import type { JobLog } from './log';
import { connectRedis, type RedisTarget } from './redis';
import { Sweep } from './sweep';

export interface OutboxDispatcherOptions {
  readonly dataSource: DataSource;
  readonly redis: RedisTarget;
  readonly log: JobLog;
  readonly sweepMs?: number;
}

type Message = Pick<OutboxEntity, 'id' | 'action' | 'queue' | 'jobId' | 'payload' | 'priority'> & {
  name: JobName;
};

const batchSize = 100;
const usualSweepMs = 1_000;

/**
 * Brings outbox rows into their queues: when nudged, and every second for what a nudge has missed. Several may run at
 * once. A row that was added but not marked (a crash in between) is added again, which its job id makes harmless.
 * While Redis is away the rows wait; nobody waits for the dispatcher.
 */
export class OutboxDispatcher {
  private readonly sweep: Sweep;
  private readonly queues = new Map<string, Queue>();
  private redis: Redis | null = null;
  private next: NodeJS.Timeout | undefined;

  constructor(private readonly options: OutboxDispatcherOptions) {
    const { sweepMs = usualSweepMs, log } = options;
    this.sweep = new Sweep({ name: 'outbox dispatch', everyMs: sweepMs, work: () => this.dispatchAll(), log });
  }

  start(): void {
    this.redis ??= connectRedis(this.options.redis, this.options.log);
    this.redis.on('ready', () => this.nudge());
    this.sweep.start();
  }

  /** To be called when rows were committed. Returns at once. */
  nudge(): void {
    this.sweep.nudge();
  }

  async stop(): Promise<void> {
    // A command that hangs ends with its connection, so that stopping never waits for Redis.
    clearTimeout(this.next);
    const stopped = this.sweep.stop();
    if (this.redis?.status !== 'ready') this.redis?.disconnect();
    await stopped;
    await this.dropQueues();
    this.redis?.disconnect();
    this.redis = null;
  }

  private async dispatchAll(): Promise<void> {
    // `queue.add` never returns on a connection that was never up: ask first.
    while (this.redis?.status === 'ready') {
      const dispatched = await this.dispatchBatch();
      if (dispatched < batchSize) return this.awaitNext();
    }
  }

  /** For a timer that fires before the next sweep. By how long it has to wait, not by when: this process's clock may be wrong. */
  private async awaitNext(): Promise<void> {
    const [next]: { in_ms: number }[] = await this.options.dataSource.query(
      `SELECT (extract(epoch FROM wait_until - now()) * 1000)::float8 AS in_ms FROM outbox
       WHERE dispatched_at IS NULL AND wait_until > now() AND wait_until < now() + $1 * interval '1 ms'
       ORDER BY wait_until LIMIT 1`,
      [this.options.sweepMs ?? usualSweepMs],
    );
    clearTimeout(this.next);
    if (next !== undefined) this.next = setTimeout(() => this.nudge(), Math.ceil(next.in_ms));
  }

  private async dispatchBatch(): Promise<number> {
    try {
      return await this.options.dataSource.transaction(async (manager) => {
        const messages = await take(manager);
        if (messages.length === 0) return 0;
        await this.enqueue(messages.filter(({ action }) => action !== 'remove'));
        await this.hasten(messages.filter(({ action }) => action === 'hasten'));
        // After the adds: a timer that is set and cleared in one batch must not stay behind.
        await this.withdraw(messages.filter(({ action }) => action === 'remove'));
        await markDispatched(manager, messages);
        return messages.length;
      });
    } catch (error) {
      // A queue that failed while it connected would fail for ever: make them anew.
      await this.dropQueues();
      throw error;
    }
  }

  private async enqueue(messages: readonly Message[]): Promise<void> {
    const queues = [...new Set(messages.map(({ queue }) => queue))];
    await Promise.all(
      queues.map((name) => this.queue(name).addBulk(messages.filter(({ queue }) => queue === name).map(asJob))),
    );
  }

  private async hasten(messages: readonly Message[]): Promise<void> {
    for (const { queue, jobId, priority } of messages) {
      const job = await this.queue(queue).getJob(jobId);
      await job?.changePriority({ priority });
      // One that is to be tried again later, by a clock that may have been set back since.
      if ((await job?.isDelayed()) === true) await job?.promote();
    }
  }

  private async withdraw(messages: readonly Message[]): Promise<void> {
    for (const { queue, jobId } of messages) await this.queue(queue).remove(jobId);
  }

  private queue(name: string): Queue {
    const known = this.queues.get(name);
    if (known !== undefined) return known;
    if (this.redis === null) throw new Error('the dispatcher was stopped');
    const queue = new Queue(name, { connection: this.redis });
    queue.on('error', (error) => this.options.log.warn({ err: error, queue: name }, 'a queue reports an error'));
    this.queues.set(name, queue);
    return queue;
  }

  private async dropQueues(): Promise<void> {
    const queues = [...this.queues.values()];
    this.queues.clear();
    for (const queue of queues) {
      await queue.close().catch((error: unknown) => this.options.log.warn({ err: error }, 'a queue did not close'));
    }
  }
}

function asJob({ name, payload, jobId, priority }: Message) {
  return { name, data: payload, opts: { ...jobOptions(name), jobId, ...(priority > 0 && { priority }) } };
}

/** What a user waits for first. Rows another dispatcher holds are passed over; names this version does not know wait for one that does. */
async function take(manager: EntityManager): Promise<readonly Message[]> {
  return manager.query(
    `SELECT id, action, queue, name, job_id AS "jobId", payload, priority FROM outbox
     WHERE dispatched_at IS NULL AND wait_until <= now() AND name = ANY ($1)
     ORDER BY wait_until, priority, id LIMIT $2 FOR UPDATE SKIP LOCKED`,
    [jobNames, batchSize],
  );
}

async function markDispatched(manager: EntityManager, messages: readonly Message[]): Promise<void> {
  await manager.query('UPDATE outbox SET dispatched_at = now() WHERE id = ANY ($1)', [messages.map(({ id }) => id)]);
}

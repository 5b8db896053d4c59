import type { JobName } from '@dormouse/ledger';
import { UnrecoverableError, Worker, type Job } from 'bullmq';
import type { JobHandlers } from './job-handlers';
import { consumerTimes, type QueueKind } from './job-table';
import type { JobLog } from './log';
import { NotNow } from './not-now';
import { jobPayloads } from './payloads';
import { AbsenceLog, PatientConnection, type RedisTarget } from './redis';

export interface JobConsumerOptions<Kind extends QueueKind> {
  /** `sessionQueue`, `hostQueue(hostId)` or `backgroundQueue(hostId)`. */
  readonly queue: string;
  readonly handlers: JobHandlers<Kind>;
  readonly redis: RedisTarget;
  /** Jobs worked on at the same time. */
  readonly concurrency: number;
  readonly log: JobLog;
}

/** Takes the jobs of one queue and gives each to its handler. */
export class JobConsumer<Kind extends QueueKind> {
  private running: { worker: Worker; connection: PatientConnection } | null = null;
  private readonly underWay = new Set<Promise<void>>();

  constructor(private readonly options: JobConsumerOptions<Kind>) {}

  /** @throws JOB_UNHANDLED when a job of this kind of queue has no handler: better no process than a silent one. */
  start(): void {
    const { queue, handlers, redis, concurrency, log } = this.options;
    handlers.assertComplete();
    const connection = new PatientConnection(redis);
    // BullMQ gives an AbortSignal only to processors that declare all three parameters.
    const worker = new Worker(queue, (job, _token, signal) => this.handle(job, signal), {
      connection,
      concurrency,
      lockDuration: consumerTimes.lockDurationMs,
      stalledInterval: consumerTimes.stalledIntervalMs,
      maxStalledCount: consumerTimes.maxStalledCount,
      maximumRateLimitDelay: consumerTimes.longestPauseMs,
    });
    const absence = new AbsenceLog(log);
    worker.on('error', (error) => absence.begins(error));
    worker.on('ready', () => absence.ends());
    worker.on('stalled', (jobId) => log.warn({ queue, jobId }, 'a job lost its worker and is given out again'));
    worker.on('failed', (job, error) => {
      log.error({ queue, jobId: job?.id, attempt: job?.attemptsMade, err: error }, 'a job failed');
    });
    this.running = { worker, connection };
  }

  /**
   * Takes no more jobs and waits for those under way; after `patienceMs` their signals are aborted, and after as long
   * again they are left to the next worker, which sees them once their lock has run out.
   */
  async close({ patienceMs }: { patienceMs: number }): Promise<void> {
    if (this.running === null) return;
    const { worker, connection } = this.running;
    this.running = null;
    await worker.pause(true);
    if (!(await endsWithin(this.allDone(), patienceMs))) {
      worker.cancelAllJobs('the process ends');
      if (!(await endsWithin(this.allDone(), patienceMs))) {
        this.options.log.warn({ queue: this.options.queue, jobs: this.underWay.size }, 'left jobs to the next worker');
      }
    }
    // In good order, closing waits for Redis and for every job; by force it does not, and says nothing to Redis.
    const byForce = connection.status !== 'ready' || this.underWay.size > 0;
    await endsWithin(worker.close(byForce), patienceMs);
    connection.disconnectAll();
  }

  private allDone(): Promise<unknown> {
    return Promise.allSettled(this.underWay);
  }

  private handle(job: Job, signal: AbortSignal | undefined): Promise<void> {
    const handled = this.giveToHandler(job, signal).finally(() => this.underWay.delete(handled));
    this.underWay.add(handled);
    return handled;
  }

  private async giveToHandler(job: Job, signal: AbortSignal | undefined): Promise<void> {
    // It was on its way here when intake stopped: back to the front of its queue, for the next worker.
    if (this.running === null) throw Worker.RateLimitError();
    const handler = this.options.handlers.of(job.name);
    const payload = jobPayloads[job.name as JobName].safeParse(job.data);
    if (!payload.success) {
      throw new UnrecoverableError(`job ${job.id} carries what is no payload of ${job.name}: ${payload.error.message}`);
    }
    try {
      await handler(payload.data, { jobId: job.id ?? '', signal: signal ?? new AbortController().signal });
    } catch (error) {
      if (!(error instanceof NotNow) || this.running === null) throw error;
      await this.running.worker.rateLimit(error.retryMs);
      throw Worker.RateLimitError();
    }
  }
}

async function endsWithin(ending: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  try {
    return await Promise.race([ending.then(() => true), tooLate]);
  } finally {
    clearTimeout(timer);
  }
}

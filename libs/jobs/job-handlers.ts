import { DormouseError } from '@dormouse/errors';
import type { JobName } from '@dormouse/ledger';
import { jobNames, jobTable, type JobNameOf, type QueueKind } from './job-table';
import type { JobPayload } from './payloads';

export interface JobContext {
  readonly jobId: string;
  /** Aborted when the consumer is told to give up its jobs; what is not over by then is handed to the next worker. */
  readonly signal: AbortSignal;
}

export type JobHandler<Name extends JobName> = (payload: JobPayload<Name>, context: JobContext) => Promise<void>;

/**
 * The handlers of one kind of queue: exactly one for each of its jobs.
 * A job is only a hint that a row wants attention: a handler that finds nothing to do returns.
 */
export class JobHandlers<Kind extends QueueKind> {
  private readonly handlers = new Map<JobName, JobHandler<JobName>>();

  constructor(readonly kind: Kind) {}

  /** @throws JOB_UNHANDLED when the job has a handler already. */
  register<Name extends JobNameOf<Kind>>(name: Name, handler: JobHandler<Name>): this {
    if (this.handlers.has(name)) throw unhandled(`the job ${name} has two handlers: keep one`, name);
    this.handlers.set(name, handler);
    return this;
  }

  /** @throws JOB_UNHANDLED naming the jobs that have no handler. */
  assertComplete(): void {
    const missing = jobNames.filter((name) => jobTable[name].queue === this.kind && !this.handlers.has(name));
    if (missing.length > 0) throw unhandled(`no handler for: ${missing.join(', ')}; register one each`, ...missing);
  }

  /** @throws JOB_UNHANDLED for a name that does not belong to this kind of queue. */
  of(name: string): JobHandler<JobName> {
    const handler = this.handlers.get(name as JobName);
    if (handler === undefined) throw unhandled(`a job named ${name} came through a ${this.kind} queue`, name);
    return handler;
  }
}

function unhandled(message: string, ...jobs: string[]): DormouseError {
  return new DormouseError('JOB_UNHANDLED', message, { jobs });
}

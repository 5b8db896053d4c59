import type { SessionLedger } from '@dormouse/ledger';
import type { JobLog } from './log';
import { Sweep } from './sweep';

export interface ReconcilerOptions {
  readonly ledger: SessionLedger;
  readonly log: JobLog;
  readonly sweepMs?: number;
  /** An operation that nobody has claimed for this long may have lost its job. */
  readonly waitingMs?: number;
  /** A deadline this far in the past may have lost its timer. */
  readonly overdueMs?: number;
}

/**
 * Holds true: every open operation and every deadline has a job, whatever became of Redis or of the worker that had it; and
 * every deadline is where the policy of today wants it.
 */
export class Reconciler {
  private readonly sweep: Sweep;

  constructor(private readonly options: ReconcilerOptions) {
    const { sweepMs = 5_000, log } = options;
    this.sweep = new Sweep({ name: 'reconciliation', everyMs: sweepMs, work: () => this.reconcile(), log });
  }

  start(): void {
    this.sweep.start();
  }

  stop(): Promise<void> {
    return this.sweep.stop();
  }

  /** One turn. @returns how many jobs were put back on their way. */
  async reconcile(): Promise<number> {
    const { ledger, log, waitingMs = 30_000, overdueMs = 5_000 } = this.options;
    const requeued = await ledger.requeueForgotten({ waitingMs, overdueMs });
    if (requeued > 0) log.info({ requeued }, 'put work back on its way that nobody had');
    const moved = await ledger.applyPoolChanges();
    if (moved > 0) log.info({ moved }, 'moved deadlines to where the policies of their pools want them');
    await ledger.forgetOldMessages();
    return requeued;
  }
}

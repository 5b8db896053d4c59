import type { SessionLedger } from '@dormouse/ledger';
import type { Metrics } from '@dormouse/observability';
import type { JobLog } from './log';
import { Sweep } from './sweep';

export interface ReconcilerOptions {
  readonly ledger: SessionLedger;
  readonly log: JobLog;
  readonly metrics: Pick<Metrics, 'repairs'>;
  readonly sweepMs?: number;
  /** Whether Redis has lost what it had; it is told so to one who asks. Left out: nobody looks. */
  readonly redisWasLost?: () => Promise<boolean>;
  /** An operation that nobody has claimed for this long may have lost its job. */
  readonly waitingMs?: number;
  /** A deadline this far in the past may have lost its timer. */
  readonly overdueMs?: number;
}

/** Every open operation that nobody has, and every deadline, however far away. */
const everything = { waitingMs: 0, overdueMs: -10 * 365 * 86_400_000 };

/** Desktops that one line of the log names. */
const mostInALine = 100;

/** What is repaired, and how it is told. */
const sentences = {
  refilled: 'Redis has come back empty: all open operations and deadlines are in their queues again',
  requeued: 'put work back on its way that nobody had',
  placed: 'found a host for desktops that waited for one',
  admitted: 'let desktops begin that waited for their pool, which has room',
  expired: 'called off what was forced and could not begin in time',
  moved: 'desktops leave hosts that are drained or fenced',
  replanned: 'moved deadlines to where the policies of their pools want them',
} as const;

/**
 * Holds true: every open operation and every deadline has a job, whatever became of Redis or of the worker that had it;
 * every operation that starts a machine gets a host as soon as one fits; nothing waits for a pool that has room; no desktop stays
 * on a host that is drained; every deadline is where the policy of today wants it. Each repair is told in the log and in `dormouse_repairs_total`.
 */
export class Reconciler {
  private readonly sweep: Sweep;
  private told = '';

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

  /** One turn. @returns how many repairs were made */
  async reconcile(): Promise<number> {
    const { ledger, redisWasLost, waitingMs = 30_000, overdueMs = 5_000 } = this.options;
    // Not before Postgres answers: what is told here is told once.
    await ledger.forgetOldMessages();
    const refilled = (await redisWasLost?.()) ? await ledger.requeueForgotten(everything) : [];
    const expired = await ledger.endExpired();
    const requeued = await ledger.requeueForgotten({ waitingMs, overdueMs });
    const placed = await ledger.placeWaiting();
    const admitted = await ledger.admitWaiting();
    const { moved, staying } = await ledger.drainHosts();
    const replanned = await ledger.applyPoolChanges();
    const repairs = { refilled, expired, requeued, placed, admitted, moved, replanned };
    for (const [repair, desktops] of Object.entries(repairs) as [keyof typeof sentences, readonly string[]][])
      this.tell(repair, desktops);
    this.tellStaying(staying);
    return Object.values(repairs).flat().length;
  }

  private tell(repair: keyof typeof sentences, desktops: readonly string[]): void {
    const count = desktops.length;
    if (count === 0) return;
    this.options.metrics.repairs.inc({ repair }, count);
    for (let from = 0; from < count; from += mostInALine) {
      this.options.log.info({ repair, count, desktops: desktops.slice(from, from + mostInALine) }, sentences[repair]);
    }
  }

  /** Once for each set of them: a drain that waits for people to go home is no news every few seconds. */
  private tellStaying(desktops: readonly string[]): void {
    const told = desktops.join(' ');
    if (told !== this.told && desktops.length > 0) {
      this.options.log.warn(
        { desktops },
        'these desktops are in use on a host that is drained, and stay: no other host can take them, or they cannot be saved',
      );
    }
    this.told = told;
  }
}

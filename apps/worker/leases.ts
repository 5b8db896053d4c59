import type { SessionLedger } from '@dormouse/ledger';
import type { Logger } from '@dormouse/observability';

/** A worker that dies is followed after this long. Renewed often enough that two renewals may fail. */
export const leaseMs = 12_000;
const renewEveryMs = 4_000;

interface Held {
  readonly desktopId: string;
  readonly lost: AbortController;
  /** By this process's clock: until then nobody else can have taken it. */
  certainUntilMs: number;
  /** Resolves when the work on it has ended. */
  readonly ended: Promise<void>;
}

/** The operations this worker holds. A lease that was lost aborts its operation's signal: another worker has it. */
export class Leases {
  private readonly held = new Map<string, Held>();
  private timer: NodeJS.Timeout | null = null;

  constructor(
    private readonly ledger: Pick<SessionLedger, 'renew'>,
    private readonly workerId: string,
    private readonly logger: Logger,
  ) {}

  start(): void {
    this.timer = setInterval(() => void this.renew(), renewEveryMs);
  }

  stop(): void {
    if (this.timer !== null) clearInterval(this.timer);
  }

  holds(operationId: string): boolean {
    return this.held.has(operationId);
  }

  /** False when it could not be renewed for so long, or this process stood still for so long, that another worker may have it. */
  certainlyHolds(operationId: string): boolean {
    const held = this.held.get(operationId);
    return held !== undefined && !held.lost.signal.aborted && performance.now() < held.certainUntilMs;
  }

  /**
   * Holds the lease while `work` runs.
   * @param askedAtMs when it was asked for, of `performance.now()`
   */
  async during<T>(
    { operationId, desktopId, askedAtMs }: { operationId: string; desktopId: string; askedAtMs: number },
    work: (lost: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const lost = new AbortController();
    let end = (): void => undefined;
    const ended = new Promise<void>((resolve) => (end = resolve));
    this.held.set(operationId, { desktopId, lost, certainUntilMs: askedAtMs + leaseMs, ended });
    try {
      return await work(lost.signal);
    } finally {
      this.held.delete(operationId);
      end();
    }
  }

  /**
   * Lets go of what another operation of a desktop has overtaken, without waiting to be told.
   * @returns resolves when the work on it has ended
   */
  async letGoOf(desktopId: string, { besides }: { besides: string }): Promise<void> {
    const overtaken = [...this.held].filter(([id, held]) => id !== besides && held.desktopId === desktopId);
    for (const [, { lost }] of overtaken) lost.abort();
    await Promise.all(overtaken.map(([, { ended }]) => ended));
  }

  private async renew(): Promise<void> {
    if (this.held.size === 0) return;
    const certainUntilMs = performance.now() + leaseMs;
    const asked = [...this.held.keys()];
    try {
      const taken = await this.ledger.renew(asked, this.workerId, leaseMs);
      for (const operationId of taken) {
        this.logger.warn({ operationId }, 'another worker has taken the operation; this one lets go of it');
        this.held.get(operationId)?.lost.abort();
      }
      for (const operationId of asked.filter((id) => !taken.includes(id))) {
        const held = this.held.get(operationId);
        if (held !== undefined) held.certainUntilMs = certainUntilMs;
      }
    } catch (error) {
      // The work goes on: the guest must not suffer from a database that is away. Every write is fenced.
      this.logger.warn({ err: error }, 'leases could not be renewed; tried again shortly');
    }
  }
}

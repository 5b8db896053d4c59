import type { Logger } from 'pino';
import type { Metrics } from './metrics';

export interface EventLoopMonitorOptions {
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'eventLoopStallSeconds'>;
  /** Shorter stalls are not told. A blocked loop renews no lease: stay well below the lease time. */
  readonly thresholdMs?: number;
  readonly intervalMs?: number;
  /** Monotonic, in ms. */
  readonly now?: () => number;
}

/** Notices when the event loop was blocked, and names what was in flight: the culprit is among it. */
export class EventLoopMonitor {
  private readonly inFlight = new Set<{ readonly name: string }>();
  /** What ended since the last look: a culprit that blocked the loop has often ended before we get to look. */
  private readonly justEnded = new Set<{ readonly name: string }>();
  private readonly timer: NodeJS.Timeout;
  private readonly now: () => number;
  private expectedAt: number;

  constructor(private readonly options: EventLoopMonitorOptions) {
    const { intervalMs = 100, now = () => performance.now() } = options;
    this.now = now;
    this.expectedAt = now() + intervalMs;
    this.timer = setInterval(() => {
      this.look(intervalMs);
    }, intervalMs).unref();
  }

  /** Says that `name` is in flight until the returned function is called. */
  track(name: string): () => void {
    const entry = { name };
    this.inFlight.add(entry);
    return () => {
      if (this.inFlight.delete(entry)) this.justEnded.add(entry);
    };
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private look(intervalMs: number): void {
    const { logger, metrics, thresholdMs = 200 } = this.options;
    const lateMs = this.now() - this.expectedAt;
    if (lateMs >= thresholdMs) {
      metrics.eventLoopStallSeconds.observe(lateMs / 1000);
      const inFlight = [...this.inFlight, ...this.justEnded].map(({ name }) => name);
      logger.warn({ stallMs: Math.round(lateMs), inFlight }, 'the event loop was blocked');
    }
    this.justEnded.clear();
    this.expectedAt = this.now() + intervalMs;
  }
}

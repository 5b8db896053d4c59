import { Sweep } from '@dormouse/jobs';
import type { Logger } from '@dormouse/observability';

/** A machine that has slept, or a database whose clock was set, is seen after this long. */
const askEveryMs = 5_000;

/**
 * What time it is by the clock of the database, without asking it each time. An api whose own clock is wrong would take every webhook for a
 * replay: users would wait for desktops that nobody wakes.
 */
export class DatabaseClock {
  private readonly sweep: Sweep;
  /** The database's time, less what `performance.now()` showed at that moment. */
  private aheadMs = 0;

  private constructor(
    private readonly ask: () => Promise<Date>,
    logger: Logger,
  ) {
    const work = (): Promise<void> => this.look();
    this.sweep = new Sweep({ name: 'look at the clock of the database', everyMs: askEveryMs, work, log: logger });
  }

  /** @param ask for the time of the database @throws what it throws at the first time; later the time goes on without it */
  static async start(ask: () => Promise<Date>, logger: Logger): Promise<DatabaseClock> {
    const clock = new DatabaseClock(ask, logger);
    await clock.look();
    clock.sweep.start();
    return clock;
  }

  /** Milliseconds since the epoch. */
  nowMs(): number {
    return performance.now() + this.aheadMs;
  }

  stop(): Promise<void> {
    return this.sweep.stop();
  }

  private async look(): Promise<void> {
    const now = await this.ask();
    this.aheadMs = now.getTime() - performance.now();
  }
}

import type { JobLog } from './log';

/**
 * Runs `work` at an interval and whenever it is nudged, never twice at a time. A nudge while it runs makes it run
 * once more. What it throws is logged and tried again at the next turn: a sweep has nobody to throw at.
 */
export class Sweep {
  private timer: NodeJS.Timeout | null = null;
  private running: Promise<void> | null = null;
  private again = false;

  constructor(private readonly options: { name: string; everyMs: number; work: () => Promise<unknown>; log: JobLog }) {}

  start(): void {
    this.timer ??= setInterval(() => this.nudge(), this.options.everyMs);
    this.nudge();
  }

  nudge(): void {
    if (this.timer === null) return;
    if (this.running !== null) {
      this.again = true;
      return;
    }
    this.running = this.runOnce().finally(() => {
      this.running = null;
      if (this.again) this.nudge();
    });
  }

  /** Resolves when the turn that runs has ended. */
  async stop(): Promise<void> {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
    this.again = false;
    await this.running;
  }

  private async runOnce(): Promise<void> {
    this.again = false;
    try {
      await this.options.work();
    } catch (error) {
      this.options.log.warn({ err: error, sweep: this.options.name }, `the ${this.options.name} failed; tried again`);
    }
  }
}

import type { WakeManner } from '@dormouse/pager-control';

/** Chunks read together while the guest faults, and while it rests. */
export type BatchLimits = WakeManner['fill'];

/**
 * How much the background fill takes at a time: twice as much with every batch during which the guest asked for nothing, and
 * as little as possible again as soon as it does.
 */
export class BatchSize {
  private size: number;
  private requestsBefore = 0;

  constructor(private readonly limits: BatchLimits) {
    this.size = limits.least;
  }

  /** Chunks of the next batch. @param requests that have come so far */
  next(requests: number): number {
    const { least, most } = this.limits;
    this.size = requests === this.requestsBefore ? Math.min(this.size * 2, most) : least;
    this.requestsBefore = requests;
    return this.size;
  }
}

import { frameBytes } from '@dormouse/checkpoint';
import type { WakeManner } from '@dormouse/pager-control';

/** Chunks read together while the guest faults, and while it rests. */
export type BatchLimits = WakeManner['fill'];

/** Whatever a batch is, a page request waits behind no more than this. */
const mostBytesInFlight = 1024 * 1024;

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

  /** What may lie in the socket before a page that is asked for. */
  get bytesInFlight(): number {
    return Math.min(this.size * frameBytes, mostBytesInFlight);
  }
}

/** Of one processor: a machine that uses more is at work. A desktop that nobody touches has a few hundredths. */
const busyShare = 0.5;
/** Processor time is told in steps of 10 ms: over this long a share of it shows. */
const shareOverMs = 100;

/** When a machine last had such use for the processors as one that is at work. */
export class ProcessorWatch {
  private lookedMs = performance.now();
  private usedBefore: number | null;
  private busyMs = -Infinity;

  /** @param usedMs processor time that the machine has had, in milliseconds; null when there is no telling */
  constructor(private readonly usedMs: () => number | null) {
    this.usedBefore = usedMs();
  }

  /** As of `performance.now()`, and as of the last look; long ago when it never was. To be looked at often. */
  get lastBusyMs(): number {
    const nowMs = performance.now();
    const passedMs = nowMs - this.lookedMs;
    if (passedMs < shareOverMs) return this.busyMs;
    const used = this.usedMs();
    if (used !== null && this.usedBefore !== null && used - this.usedBefore > busyShare * passedMs) this.busyMs = nowMs;
    this.lookedMs = nowMs;
    this.usedBefore = used;
    return this.busyMs;
  }
}

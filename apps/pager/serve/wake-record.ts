import { longestTracedRequests, type TracedRequests } from '@dormouse/checkpoint';

/** What the guest asks for while it wakes, and how long it waits. */
export class WakeRecord {
  private readonly pages: number[] = [];
  private readonly atUs: number[] = [];
  private readonly stallUs: number[] = [];
  private runningSinceMs = performance.now();
  private waitedMs = 0;
  private waitedUntilMs = 0;

  /** From now on times count. */
  running(): void {
    this.runningSinceMs = performance.now();
    this.waitedMs = 0;
  }

  /** Milliseconds since the guest has run. */
  get elapsedMs(): number {
    return performance.now() - this.runningSinceMs;
  }

  /** Of these, milliseconds in which it did not wait for a page. */
  get ranMs(): number {
    return this.elapsedMs - this.waitedMs;
  }

  /** @param askedMs and the answer's time as of `performance.now()` */
  answered(page: number, askedMs: number): void {
    const nowMs = performance.now();
    this.waitedMs += nowMs - Math.max(askedMs, this.runningSinceMs, this.waitedUntilMs);
    this.waitedUntilMs = nowMs;
    if (this.pages.length === longestTracedRequests) return;
    this.pages.push(page);
    this.atUs.push(Math.max(0, Math.round((askedMs - this.runningSinceMs) * 1_000)));
    this.stallUs.push(Math.round((nowMs - askedMs) * 1_000));
  }

  requests(): TracedRequests {
    return {
      pages: Uint32Array.from(this.pages),
      atUs: Uint32Array.from(this.atUs),
      stallUs: Uint32Array.from(this.stallUs),
    };
  }
}

import { setTimeout as sleep } from 'node:timers/promises';
import type { Wake, WakeProgress } from '@dormouse/hypervisor';
import { machineTimeMs } from './simulated-files';

export interface WakeSteps {
  readonly machine: Wake['machine'];
  readonly totalPages: number;
  /** By `machineTimeMs`. */
  readonly wholeAtMs: number;
  readonly whole: () => Promise<void>;
}

/** A machine that runs and whose memory comes by itself, whether anybody watches or not. */
export class SimulatedWake implements Wake {
  readonly machineWaited = false;
  readonly machine: Wake['machine'];
  private readonly runsSinceMs = machineTimeMs();

  constructor(private readonly steps: WakeSteps) {
    this.machine = steps.machine;
  }

  async hydrated(onProgress: (progress: WakeProgress) => void): Promise<WakeProgress> {
    onProgress(this.progress(0, null));
    await sleep(Math.max(0, this.steps.wholeAtMs - machineTimeMs()));
    await this.steps.whole();
    return this.progress(this.steps.totalPages, machineTimeMs() - this.runsSinceMs);
  }

  letGo(): void {
    // Nobody is watched.
  }

  private progress(sentPages: number, hydratedMs: number | null): WakeProgress {
    const { totalPages } = this.steps;
    const nothing = { pageRequests: 0, waitingForStorage: null, pagerPeakRssBytes: 0, pagersReplaced: 0 };
    return { totalPages, sentPages, hydratedMs, ...nothing };
  }
}

import type { Capture, CaptureFacts } from '@dormouse/hypervisor';

export interface CaptureSteps {
  readonly ramBytes: number;
  readonly streamBytes: number;
  readonly switchOver: (signal: AbortSignal) => Promise<void>;
  readonly commit: (signal: AbortSignal) => Promise<void>;
  readonly thaw: () => Promise<void>;
  /** @throws when the guest has run since it was frozen */
  readonly conclude: () => Promise<void>;
}

/** A save whose guest stands still. */
export class SimulatedCapture implements Capture {
  readonly frozenAtMs = performance.now();
  /** It never does. */
  readonly failed = new AbortController().signal;

  constructor(private readonly steps: CaptureSteps) {}

  switchOver(signal: AbortSignal): Promise<void> {
    return this.steps.switchOver(signal);
  }

  async commit(signal: AbortSignal): Promise<CaptureFacts> {
    await this.steps.commit(signal);
    const { ramBytes, streamBytes } = this.steps;
    const storedBytes = Math.round(streamBytes / 4);
    return {
      ramBytes,
      storedBytes,
      streamBytes,
      rawBytes: streamBytes,
      mapBytes: 0,
      wakePackBytes: 0,
      pages: {},
      pagerPeakRssBytes: 0,
      paused: false,
    };
  }

  abandon(): Promise<void> {
    return this.steps.thaw();
  }

  conclude(): Promise<void> {
    return this.steps.conclude();
  }

  close(): void {
    // There is no pager to let go of.
  }
}

import type { RequestLists } from './requests-in';

/** What a wake was like for its guest. Times in milliseconds. */
export interface WakeReport {
  readonly ahead: number;
  readonly aheadBeforeRunning: number;
  readonly requests: number;
  readonly stalls: { readonly p50: number; readonly p99: number; readonly longest: number; readonly together: number };
}

/** @param trace what was sent ahead, and what was asked for all the same */
export function reportOf(trace: {
  readonly ahead: Uint32Array;
  readonly beforeRunning: number;
  readonly requests: RequestLists;
}): WakeReport {
  const stalls = Float64Array.from(trace.requests.stallUs, (us) => us / 1_000).sort();
  const quantile = (share: number): number =>
    stalls[Math.min(stalls.length - 1, Math.floor(stalls.length * share))] ?? 0;
  return {
    ahead: trace.ahead.length,
    aheadBeforeRunning: trace.beforeRunning,
    requests: stalls.length,
    stalls: {
      p50: quantile(0.5),
      p99: quantile(0.99),
      longest: stalls.at(-1) ?? 0,
      together: trace.requests.stallUs.reduce((sum, us) => sum + us, 0) / 1_000,
    },
  };
}

import type { WakeManner } from '@dormouse/pager-control';

/** How a guest is woken unless its worker wants it otherwise. */
export const usualManner: WakeManner = {
  wakeSet: true,
  restMs: 250,
  longestMs: 4_000,
  fill: { least: 1, most: 64 },
};

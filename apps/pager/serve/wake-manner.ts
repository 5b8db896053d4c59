import type { WakeManner } from '@dormouse/pager-control';
import { wakingLimits } from '@dormouse/working-set';

/** How a guest is woken unless its worker wants it otherwise. */
export const usualManner: WakeManner = {
  wakeSet: true,
  restMs: wakingLimits.restMs,
  longestMs: wakingLimits.longestMs,
  fill: { least: 1, most: 64 },
};

/** How much of a save may go into pages that the guest has written to again since they were stored. */
export interface SaveLimits {
  /** When this much has come again, as a share of the guest's memory, the guest is slowed down and may stand still for longer. */
  readonly squeezeAfter: number;
  /** When this much has come again the save is given up. With the first copy of each page, a save never stores more than one and this. */
  readonly giveUpAfter: number;
  /** A save is given up that has gone on for this long since all pages came. A quarter of it, and the guest is slowed down. */
  readonly longestMs: number;
}

export const usualSaveLimits: SaveLimits = { squeezeAfter: 0.25, giveUpAfter: 2, longestMs: 5 * 60_000 };

/** A small guest rewrites all of its memory in a moment, and that is nothing to be slowed down for. */
const leastSqueezedBytes = 32 * 2 ** 20;

export interface ComingAgain {
  readonly ramBytes: number;
  /** What QEMU has sent since every page had come once. */
  readonly againBytes: number;
  readonly sinceMs: number;
}

/** Whether a save gets nearer to its end, once every page has come. */
export function convergenceOf(
  { ramBytes, againBytes, sinceMs }: ComingAgain,
  { squeezeAfter, giveUpAfter, longestMs }: SaveLimits,
): 'goes on' | 'squeeze' | 'give up' {
  if (sinceMs >= longestMs || againBytes > ramBytes * giveUpAfter) return 'give up';
  if (sinceMs >= longestMs / 4 || againBytes > Math.max(ramBytes * squeezeAfter, leastSqueezedBytes)) return 'squeeze';
  return 'goes on';
}

/**
 * What QEMU is told of a save. `auto-converge` can only be switched on before a migration begins, so it always is, and slows nothing
 * down until the guest is squeezed: one percent is the least that QEMU accepts. QEMU lifts it whenever a migration ends.
 */
export const throttle = {
  none: { 'cpu-throttle-initial': 1, 'cpu-throttle-increment': 1, 'max-cpu-throttle': 1 },
  squeezed: { 'cpu-throttle-increment': 40, 'max-cpu-throttle': 99 },
} as const;

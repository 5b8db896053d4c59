import { noPage, segmentPages } from './layout';
import type { WakeOrder } from './wake-head';

/**
 * Fits what was chosen at the end to the segments that were compressed before: pages that are not in these as they are now come first,
 * in segments of their own, since what the guest wrote to last it will want first; in the prepared segments their places, and those of
 * pages that were not chosen after all, are left unused.
 * @param prepared the order of what was compressed before; null when nothing was
 * @returns the pages to be compressed now, and the order of the whole
 */
export function arrangeWakeSet(
  chosen: WakeOrder,
  prepared: WakeOrder | null,
  isAsPrepared: (page: number) => boolean,
): { readonly fresh: Uint32Array; readonly order: WakeOrder } {
  if (prepared === null) return { fresh: chosen.pages, order: chosen };
  const wanted = new Set(chosen.pages);
  const kept = prepared.pages.map((page) => (wanted.has(page) && isAsPrepared(page) ? page : noPage));
  const isThere = new Set(kept);
  const changed = chosen.pages.filter((page) => !isThere.has(page));
  const fresh = new Uint32Array(Math.ceil(changed.length / segmentPages) * segmentPages).fill(noPage);
  fresh.set(changed);
  const order = {
    pages: joined(fresh, kept),
    ranksMs: joined(new Uint32Array(fresh.length), prepared.ranksMs),
    onTrial: prepared.onTrial,
  };
  return { fresh, order };
}

function joined(one: Uint32Array, other: Uint32Array): Uint32Array {
  const both = new Uint32Array(one.length + other.length);
  both.set(one);
  both.set(other, one.length);
  return both;
}

import { noPage, segmentPages } from './layout';
import type { WakeOrder } from './wake-head';
import { joinWords } from './word-list';

/**
 * Fits what is chosen at the end to the wake pages, which were written before: pages that are not in these as they are now come first,
 * in the wake pack, since what the guest wrote to last it will want first; in the wake pages their places, and those of pages that
 * were not chosen after all, are left unused.
 * @param ahead the order of the wake pages; null when there are none
 * @returns the pages of the wake pack, in whole segments, and the order of all
 */
export function arrangeWakeSet(
  chosen: WakeOrder,
  ahead: WakeOrder | null,
  isAsAhead: (page: number) => boolean,
): { readonly fresh: Uint32Array; readonly order: WakeOrder } {
  if (ahead === null) return { fresh: chosen.pages, order: chosen };
  const wanted = new Set(chosen.pages);
  const kept = ahead.pages.map((page) => (wanted.has(page) && isAsAhead(page) ? page : noPage));
  const isThere = new Set(kept);
  const changed = chosen.pages.filter((page) => !isThere.has(page));
  const fresh = new Uint32Array(Math.ceil(changed.length / segmentPages) * segmentPages).fill(noPage);
  fresh.set(changed);
  const order = {
    pages: joinWords(fresh, kept),
    ranksMs: joinWords(new Uint32Array(fresh.length), ahead.ranksMs),
    onTrial: ahead.onTrial,
  };
  return { fresh, order };
}

/** Pages are wanted sooner than they were: what a wake of the past had to wait for is here now. */
const haste = 2;

/**
 * Whether a guest may run while the rest of its wake set is still coming. As with a film that plays while it loads: it may
 * when, at the pace at which pages have come so far, each of the rest will be there before it is wanted.
 * @param ranksMs for each page of the wake set when it is wanted, in milliseconds of running; never falling
 * @param come how many of them have come
 * @param pagesPerMs the pace
 */
export function mayRun(ranksMs: Uint32Array, come: number, pagesPerMs: number): boolean {
  if (come === ranksMs.length) return true;
  if (!(pagesPerMs > 0)) return false;
  for (let page = come; page < ranksMs.length; page++) {
    if ((page + 1 - come) / pagesPerMs > ranksMs[page]! / haste) return false;
  }
  return true;
}

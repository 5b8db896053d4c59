import type { PageRequest } from './learn';

/** Requests as they are stored: when each was made, and how long it waited for its answer. In the order of the first. */
export interface RequestLists {
  readonly pages: Uint32Array;
  readonly atUs: Uint32Array;
  readonly stallUs: Uint32Array;
}

/**
 * When a guest would have wanted the pages if it had never had to wait for one: the times at which it waited for any are
 * taken out. A guest with several processors that runs on meanwhile is thought to want its pages earlier than it does.
 */
export function requestsIn({ pages, atUs, stallUs }: RequestLists): PageRequest[] {
  let waitedUs = 0;
  let waitingUntilUs = 0;
  return Array.from(pages, (page, n) => {
    const at = atUs[n]!;
    const waitedByThen = Math.max(0, waitedUs - Math.max(0, waitingUntilUs - at));
    const request = { page, atMs: (at - waitedByThen) / 1_000 };
    const until = at + stallUs[n]!;
    waitedUs += Math.max(0, until - Math.max(at, waitingUntilUs));
    waitingUntilUs = Math.max(waitingUntilUs, until);
    return request;
  });
}

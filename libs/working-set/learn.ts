import { strongestTrust, type Member, type WorkingSet } from './working-set';

/** What one wake has shown. Page numbers are those of the checkpoint that was woken. */
export interface WakeTrace {
  /** Sent without being asked for, because they were in the wake set. */
  readonly ahead: Uint32Array;
  /** In the working set, but left out of the wake set to see whether they are wanted. */
  readonly withheld: Uint32Array;
  /** What the guest asked for, in its order. */
  readonly requests: readonly PageRequest[];
}

export interface PageRequest {
  readonly page: number;
  /** Since the guest ran, in milliseconds. */
  readonly atMs: number;
}

/** What the guest did to its memory since it was woken (or booted). */
export interface Writes {
  /** Whether the page was given another content. */
  written(page: number): boolean;
  /** Written to while it was being saved: what it was doing just before it froze. */
  readonly rewritten: Iterable<number>;
}

/** Enough for the wake sets of any policy; with it a working set has 1.5 MiB. */
const mostMembers = 131_072;

/**
 * What a guest asks for while it wakes it asks for again in its next wake; of what comes later, which is what programs take that it
 * starts, only a quarter (docs/benchmarks.md). It has woken when it has asked for nothing for `restMs` or has run for `longestMs`; to learn
 * from, no sooner than after `leastMs`.
 */
export const wakingLimits = { restMs: 250, leastMs: 1_000, longestMs: 4_000 } as const;

/**
 * The working set after a wake and the use that followed. Evidence that a page is wanted is a request for it, or that it was
 * written to. A page that was sent ahead shows no reads; so without evidence doubt grows by one with each wake, and when it
 * outgrows the page's trust the page is left out once, when it is its turn (`choose`). Asked for then, it is trusted twice as long; otherwise it is
 * forgotten, whether it was written to later or not. So a wrong guess leaves after a wake or two, a page that is wanted every time is
 * asked for ever more rarely, and a page that was missed joins: at once when it was asked for early, else when it is asked for
 * a second time.
 * @param trace of the wake this use began with; null when it began with a boot
 */
export function learn(known: WorkingSet, trace: WakeTrace | null, writes: Writes): WorkingSet {
  const asked = trace?.requests ?? [];
  const requests = firstRequests(asked);
  const wokenMs = whenWoken(asked);
  const ahead = new Set(trace?.ahead);
  const withheld = new Set(trace?.withheld);
  const members = new Map<number, Member>();
  for (const member of known.members) {
    const atMs = requests.get(member.page);
    const next = judge(member, {
      requestedMs: atMs ?? null,
      ahead: ahead.has(member.page),
      withheld: withheld.has(member.page) && !ahead.has(member.page),
      written: writes.written(member.page),
    });
    if (next !== null) members.set(member.page, next);
  }
  for (const [page, atMs] of requests) {
    if (!members.has(page)) members.set(page, missed(page, atMs, wokenMs));
  }
  for (const page of writes.rewritten) {
    const member = members.get(page);
    members.set(page, member === undefined ? { page, rankMs: 0, trust: 1, doubt: 0 } : { ...member, doubt: 0 });
  }
  return { members: strongest([...members.values()], mostMembers) };
}

/** A page that was asked for and is no member yet. */
function missed(page: number, atMs: number, wokenMs: number): Member {
  return { page, rankMs: Math.round(atMs), ...(atMs < wokenMs ? { trust: 2, doubt: 0 } : { trust: 1, doubt: 2 }) };
}

/** In milliseconds of the guest's running. */
function whenWoken(requests: readonly PageRequest[]): number {
  const { restMs, leastMs, longestMs } = wakingLimits;
  let askedMs = 0;
  for (const { atMs } of requests) {
    if (atMs >= askedMs + restMs) break;
    askedMs = atMs;
  }
  return Math.min(Math.max(askedMs + 1, leastMs), longestMs);
}

/** Page → when it was asked for first, in the order of that. */
function firstRequests(requests: readonly PageRequest[]): Map<number, number> {
  const first = new Map<number, number>();
  for (const { page, atMs } of requests) if (!first.has(page)) first.set(page, atMs);
  return first;
}

interface Evidence {
  readonly requestedMs: number | null;
  readonly ahead: boolean;
  readonly withheld: boolean;
  readonly written: boolean;
}

/** The member after one wake, or null when it is forgotten. */
function judge(member: Member, { requestedMs, ahead, withheld, written }: Evidence): Member | null {
  const { page, rankMs, trust, doubt } = member;
  if (requestedMs !== null) {
    return { page, rankMs: Math.round(requestedMs), trust: Math.min(2 * trust, strongestTrust), doubt: 0 };
  }
  if (withheld) return null;
  if (written) return { page, rankMs, trust, doubt: 0 };
  // One that was in no wake set, since that was full, has shown nothing.
  return ahead ? { page, rankMs, trust, doubt: Math.min(doubt, trust) + 1 } : member;
}

/** At most `most` members, those with the best evidence. */
function strongest(members: Member[], most: number): Member[] {
  return members.sort(byEvidence).slice(0, most);
}

/** The best evidence first: seen lately, then trusted long, then wanted early. */
export function byEvidence(one: Member, other: Member): number {
  return (
    one.doubt - one.trust - (other.doubt - other.trust) ||
    other.trust - one.trust ||
    one.rankMs - other.rankMs ||
    one.page - other.page
  );
}

import { byEvidence } from './learn';
import type { Member, WorkingSet } from './working-set';

/** What the next wake does with a working set. */
export interface WakeChoice {
  /** To be sent ahead, in the order in which the guest is likely to touch them. */
  readonly ahead: Uint32Array;
  /** For each of these, when it was wanted, in milliseconds after the guest ran. */
  readonly ranksMs: Uint32Array;
  /** Doubtful: left out to see whether they are wanted. */
  readonly withheld: Uint32Array;
}

/**
 * The wake set of the next wake.
 * @param mostPages of the wake set; those with the best evidence are in it
 */
export function choose({ members }: WorkingSet, mostPages: number): WakeChoice {
  const isDoubtful = ({ trust, doubt }: Member): boolean => doubt > trust;
  const ahead = members.filter((member) => !isDoubtful(member)).sort(byEvidence);
  const chosen = ahead.slice(0, mostPages).sort((one, other) => one.rankMs - other.rankMs || one.page - other.page);
  return {
    ahead: pagesOf(chosen),
    ranksMs: Uint32Array.from(chosen, ({ rankMs }) => rankMs),
    withheld: pagesOf(members.filter(isDoubtful)),
  };
}

function pagesOf(members: readonly Member[]): Uint32Array {
  return Uint32Array.from(members, ({ page }) => page);
}

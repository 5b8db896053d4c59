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

/** Of a working set so much is put on trial in one wake, and at least so many pages: a guest that has to ask for all of it wakes as the first time. */
const trialShare = 1 / 32;
const fewestOnTrial = 16;

const isDoubtful = ({ trust, doubt }: Member): boolean => doubt > trust;

/** Never asked for, or only late: when in doubt, left out until it is, or forgotten. */
const isGuess = ({ trust }: Member): boolean => trust === 1;

/**
 * Of those that the guest once asked for some are left out to see whether it still does, first those that it would want last. The others go on
 * being sent, and have their turn.
 */
function onTrial(members: readonly Member[]): Member[] {
  const doubtful = members.filter((member) => isDoubtful(member) && !isGuess(member));
  const most = Math.max(fewestOnTrial, Math.floor(members.length * trialShare));
  return doubtful.sort((one, other) => other.rankMs - one.rankMs || one.page - other.page).slice(0, most);
}

/**
 * The wake set of the next wake.
 * @param mostPages of the wake set; those with the best evidence are in it
 */
export function choose({ members }: WorkingSet, mostPages: number): WakeChoice {
  const left = new Set([...members.filter((member) => isDoubtful(member) && isGuess(member)), ...onTrial(members)]);
  const ahead = members.filter((member) => !left.has(member)).sort(byEvidence);
  const chosen = ahead.slice(0, mostPages).sort((one, other) => one.rankMs - other.rankMs || one.page - other.page);
  return {
    ahead: pagesOf(chosen),
    ranksMs: Uint32Array.from(chosen, ({ rankMs }) => rankMs),
    withheld: pagesOf([...left]),
  };
}

function pagesOf(members: readonly Member[]): Uint32Array {
  return Uint32Array.from(members, ({ page }) => page);
}

import { byEvidence } from './learn';
import type { Member, WorkingSet } from './working-set';

/** What the next wake does with a working set. */
export interface WakeChoice {
  /** To be sent ahead, in the order in which the guest is likely to touch them. */
  readonly ahead: Uint32Array;
  /** For each of these, when it was wanted, in milliseconds after the guest ran. */
  readonly ranksMs: Uint32Array;
  /** Doubtful, and once asked for: kept ready and not sent, to see whether they still are. In the order of `ahead`. */
  readonly onTrial: Uint32Array;
  /** All that is doubtful and not sent ahead: those on trial, and guesses. */
  readonly withheld: Uint32Array;
}

/** Of a working set so much is put on trial in one wake, and at least so many pages: to ask for all of it would take as long as the first time. */
const trialShare = 1 / 32;
const fewestOnTrial = 16;

const isDoubtful = ({ trust, doubt }: Member): boolean => doubt > trust;

/** Never asked for, or only late: when in doubt, left out until it is, or forgotten. */
const isGuess = ({ trust }: Member): boolean => trust === 1;

/**
 * Of those that the guest once asked for some are not sent, to see whether it still does, first those that it would want last. The others go on
 * being sent, and have their turn.
 */
function onTrial(members: readonly Member[]): Member[] {
  const doubtful = members.filter((member) => isDoubtful(member) && !isGuess(member));
  const most = Math.max(fewestOnTrial, Math.floor(members.length * trialShare));
  return doubtful.sort((one, other) => byRank(other, one)).slice(0, most);
}

/**
 * The wake set of the next wake.
 * @param mostPages of the wake set, those on trial included; those with the best evidence are in it
 */
export function choose({ members }: WorkingSet, mostPages: number): WakeChoice {
  const trial = onTrial(members).slice(0, mostPages).reverse();
  const left = new Set([...members.filter((member) => isDoubtful(member) && isGuess(member)), ...trial]);
  const ahead = members.filter((member) => !left.has(member)).sort(byEvidence);
  const chosen = ahead.slice(0, mostPages - trial.length).sort(byRank);
  return {
    ahead: pagesOf(chosen),
    ranksMs: Uint32Array.from(chosen, ({ rankMs }) => rankMs),
    onTrial: pagesOf(trial),
    withheld: pagesOf([...left]),
  };
}

/** Those that are wanted first, first. */
function byRank(one: Member, other: Member): number {
  return one.rankMs - other.rankMs || one.page - other.page;
}

function pagesOf(members: readonly Member[]): Uint32Array {
  return Uint32Array.from(members, ({ page }) => page);
}

/** A page the guest is believed to want soon after it wakes. */
export interface Member {
  readonly page: number;
  /** When it was last asked for, in milliseconds after the guest ran; 0 when it never was. Tells who is wanted first. */
  readonly rankMs: number;
  /** Wakes it is sent ahead without further evidence: 1, for what was guessed, to `strongestTrust`. */
  readonly trust: number;
  /** Wakes since the last evidence, `trust` + 1 at most. Above `trust` it is left out once, to see. */
  readonly doubt: number;
}

/** What is known of a desktop's wakes, kept from save to save. */
export interface WorkingSet {
  readonly members: readonly Member[];
}

export const nothingKnown: WorkingSet = { members: [] };

/** A page that is wanted every time is asked for in one wake of this many, so that the set stays true. */
export const strongestTrust = 32;

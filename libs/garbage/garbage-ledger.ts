import type { SessionLedger } from '@dormouse/ledger';

/** What the collectors ask the ledger and tell it. */
export type GarbageLedger = Pick<
  SessionLedger,
  | 'deletedDesktops'
  | 'desktopHoldings'
  | 'desktopsWithCondemned'
  | 'diskGenerations'
  | 'forgetDiskGenerations'
  | 'markCheckpointDeleted'
  | 'now'
>;

/**
 * The shell around libs/session: one transaction per decision, on Postgres. Lives here: loading, deciding, writing,
 * the outbox rows that follow. Does not live here: the rules themselves, and getting work into queues.
 */
export { SessionLedger, type LedgerOptions } from './ledger';
export type {
  AuditEntry,
  CancelCommand,
  CheckpointFacts,
  ClaimedOperation,
  Delivery,
  Fence,
  FinishOutcome,
  HoldCommand,
  HostAnnouncement,
  PinCommand,
  PrewarmCommand,
  Receipt,
  Registered,
  Registration,
  RequestCommand,
} from './commands';
export { LedgerKeys } from './data-keys';
export type { DesktopHoldings, HeldCheckpoint } from './garbage';
export type { EarlierRequest, RepeatableAnswer, RepeatableRequest } from './idempotency';
export type { StormBegun } from './storms';
export { OnlyOne } from './only-one';
export { hostQueue, jobIdOf, sessionQueue, type JobName } from './work';
export type {
  CheckpointState,
  CheckpointView,
  DesktopView,
  ExplanationView,
  HostView,
  KeptCheckpointView,
  KeyRotationView,
  KeyView,
  OperationView,
  Page,
  PoolView,
  RehearsedView,
  StormView,
} from './views';

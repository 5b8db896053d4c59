/**
 * The shell around libs/session: one transaction per decision, on Postgres. Lives here: loading, deciding, writing,
 * the outbox rows that follow. Does not live here: the rules themselves, and getting work into queues.
 */
export { SessionLedger, type LedgerOptions } from './ledger';
export { bootstrapKey, hashApiKey } from './api-keys';
export type { AuditQuery } from './audit';
export type {
  ApiKeyCommand,
  AuditEntry,
  CancelCommand,
  CheckpointFacts,
  ClaimedOperation,
  Delivery,
  Fence,
  FinishOutcome,
  HoldCommand,
  HostAnnouncement,
  HostCommand,
  PinCommand,
  PrewarmCommand,
  Receipt,
  Registered,
  Registration,
  RequestCommand,
} from './commands';
export { LedgerKeys } from './data-keys';
export type { ClaimedHost, HostProof } from './host-claims';
export type { Drained } from './drain-host';
export type { DesktopHoldings, HeldCheckpoint } from './garbage';
export type { EarlierRequest, RepeatableAnswer, RepeatableRequest } from './idempotency';
export type { StormBegun } from './storms';
export type { OperationStep } from './ledger-transaction';
export { OnlyOne } from './only-one';
export { backgroundQueue, hostQueue, jobIdOf, sessionQueue, type JobName } from './work';

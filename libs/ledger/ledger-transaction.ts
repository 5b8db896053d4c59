import type { OutboxEntity } from '@dormouse/persistence';
import type { EndedStatus, JsonObject, OperationKind, OperationPhase } from '@dormouse/session';
import type { EntityManager } from 'typeorm';
import type { JobName } from './work';

export interface OutboxMessage {
  readonly action: OutboxEntity['action'];
  readonly queue: string;
  readonly name: JobName;
  readonly jobId: string;
  readonly payload: JsonObject;
  readonly runAt: Date;
  /** As `admission` has it; 0 where nothing competes. */
  readonly priority: number;
}

/** A phase of an operation is over; so is the operation when `outcome` says how. */
export interface OperationStep {
  readonly kind: OperationKind;
  readonly phase: OperationPhase;
  /** How long the phase took, also across a change of workers. */
  readonly ms: number;
  readonly outcome: EndedStatus | null;
}

export interface LedgerTransaction {
  readonly manager: EntityManager;
  /** One moment for all that happens in the transaction. */
  readonly now: Date;
  /** Work that follows; written at the end, in one statement. */
  readonly outbox: OutboxMessage[];
  /** Whoever watches hears of it once it is committed. */
  stepped(step: OperationStep): void;
}

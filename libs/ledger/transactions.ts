import type { EndedStatus, OperationKind, OperationPhase } from '@dormouse/session';
import type { DataSource, EntityManager } from 'typeorm';

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
  /** To be called when an outbox row was written: the dispatcher is nudged once the row can be seen. */
  wroteOutbox(): void;
  /** Whoever watches hears of it once it is committed. */
  stepped(step: OperationStep): void;
}

export interface Watchers {
  readonly onOutbox: () => void;
  readonly onStep: (step: OperationStep) => void;
}

/** Runs pieces of work in a transaction each, and tells of what they have left once that can be seen. */
export class Transactions {
  constructor(
    private readonly dataSource: DataSource,
    private readonly now: () => Date,
    private readonly watchers: Watchers,
  ) {}

  async run<T>(work: (transaction: LedgerTransaction) => Promise<T>): Promise<T> {
    let outboxWritten = false;
    const steps: OperationStep[] = [];
    const result = await this.dataSource.transaction((manager) =>
      work({
        manager,
        now: this.now(),
        wroteOutbox: () => void (outboxWritten = true),
        stepped: (step) => void steps.push(step),
      }),
    );
    if (outboxWritten) this.watchers.onOutbox();
    for (const step of steps) this.watchers.onStep(step);
    return result;
  }
}

import type { DataSource, EntityManager } from 'typeorm';

export interface LedgerTransaction {
  readonly manager: EntityManager;
  /** One moment for all that happens in the transaction. */
  readonly now: Date;
  /** To be called when an outbox row was written: the dispatcher is nudged once the row can be seen. */
  wroteOutbox(): void;
}

/** Runs pieces of work in a transaction each, and nudges the dispatcher after those that left it something. */
export class Transactions {
  constructor(
    private readonly dataSource: DataSource,
    private readonly now: () => Date,
    private readonly onOutbox: () => void,
  ) {}

  async run<T>(work: (transaction: LedgerTransaction) => Promise<T>): Promise<T> {
    let outboxWritten = false;
    const result = await this.dataSource.transaction((manager) =>
      work({ manager, now: this.now(), wroteOutbox: () => void (outboxWritten = true) }),
    );
    if (outboxWritten) this.onOutbox();
    return result;
  }
}

import type { DataSource, EntityManager } from 'typeorm';
import { writeOutbox, type OutboxMessage } from './outbox';

export interface LedgerTransaction {
  readonly manager: EntityManager;
  /** One moment for all that happens in the transaction. */
  readonly now: Date;
  /** Work that follows; written at the end, in one statement. */
  readonly outbox: OutboxMessage[];
}

/** Runs pieces of work in a transaction each, and nudges the dispatcher after those that left it something to do now. */
export class Transactions {
  constructor(
    private readonly dataSource: DataSource,
    private readonly now: () => Date,
    private readonly onOutbox: () => void,
  ) {}

  async run<T>(work: (transaction: LedgerTransaction) => Promise<T>): Promise<T> {
    const { result, isUrgent } = await this.dataSource.transaction(async (manager) => {
      const transaction: LedgerTransaction = { manager, now: this.now(), outbox: [] };
      return { result: await work(transaction), isUrgent: await writeOutbox(transaction) };
    });
    if (isUrgent) this.onOutbox();
    return result;
  }
}

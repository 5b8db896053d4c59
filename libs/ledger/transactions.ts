import type { DataSource, EntityManager } from 'typeorm';
import type { LedgerTransaction, OperationStep } from './ledger-transaction';
import { writeOutbox } from './outbox';

export interface Watchers {
  /** The outbox has something for the dispatcher to do now. */
  readonly onOutbox: () => void;
  readonly onStep: (step: OperationStep) => void;
}

/** Runs pieces of work in a transaction each, and tells of what they have left once that can be seen. */
export class Transactions {
  constructor(
    private readonly dataSource: DataSource,
    /** Null: the clock of the database, the one that all processes have in common. */
    private readonly now: (() => Date) | null,
    private readonly watchers: Watchers,
  ) {}

  async run<T>(work: (transaction: LedgerTransaction) => Promise<T>): Promise<T> {
    const steps: OperationStep[] = [];
    const stepped = (step: OperationStep): void => void steps.push(step);
    const { result, isUrgent } = await this.dataSource.transaction(async (manager) => {
      const now = this.now?.() ?? (await databaseTime(manager));
      const transaction: LedgerTransaction = { manager, now, outbox: [], stepped };
      return { result: await work(transaction), isUrgent: await writeOutbox(transaction) };
    });
    if (isUrgent) this.watchers.onOutbox();
    for (const step of steps) this.watchers.onStep(step);
    return result;
  }
}

/**
 * Leases, deadlines and signs of life are written by one process and read by another: compared by the clocks of two machines, the one
 * whose clock is wrong would take the other for dead.
 */
export async function databaseTime(manager: EntityManager): Promise<Date> {
  const [row]: { now: Date }[] = await manager.query('SELECT now() AS now');
  return row!.now;
}

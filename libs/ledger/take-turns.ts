import type { LedgerTransaction } from './ledger-transaction';

/** Transactions that name the same thing go on one after the other, each when the one before it has ended. */
export async function takeTurns({ manager }: Pick<LedgerTransaction, 'manager'>, what: string): Promise<void> {
  await manager.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [what]);
}

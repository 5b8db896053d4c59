import type { LedgerTransaction } from './ledger-transaction';

/** Duties that any process may see to at any time, and one at a time is enough. */
const duties = { upkeep: 0x75706b70, storms: 0x73746f72, brokers: 0x62726f6b, history: 0x68697374 } as const;

/** Whether nobody else is at it; holds until the transaction ends. */
export async function aloneAtIt({ manager }: LedgerTransaction, duty: keyof typeof duties): Promise<boolean> {
  const [row]: { alone: boolean }[] = await manager.query('SELECT pg_try_advisory_xact_lock($1) AS alone', [
    duties[duty],
  ]);
  return row?.alone === true;
}

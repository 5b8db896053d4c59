import { OperationEntity } from '@dormouse/persistence';
import { LessThan } from 'typeorm';
import { decideAndWrite } from './decide-and-write';
import { lockDesktop, type LoadedDesktop } from './loaded-desktop';
import type { LedgerTransaction } from './ledger-transaction';
import type { Transactions } from './transactions';

const requestedBy = 'expiry';
const reason = 'it was forced, and could not begin in the time it was asked for';

/**
 * Calls off what has waited for too long, also what a worker that died had begun.
 * @returns whether the operation is over
 */
export async function callOffExpired(transaction: LedgerTransaction, loaded: LoadedDesktop): Promise<boolean> {
  const { operation } = loaded;
  if (operation === null || operation.validUntil === null || operation.validUntil > transaction.now) return false;
  const { generation, status, kind } = operation;
  if (status === 'active' && kind !== 'save') {
    const error = { code: 'CANCELLED', message: reason, details: {} } as const;
    // What its worker may have ended all the same, the census of its host finds absent.
    await decideAndWrite(transaction, loaded, { type: 'operation_finished', generation, status: 'cancelled', error });
  } else {
    await decideAndWrite(transaction, loaded, { type: 'cancel_asked', generation, requestedBy, reason });
  }
  return loaded.operation !== operation;
}

/** Ends the operations that nobody has begun in their time. @returns the desktops of these */
export async function endExpired(transactions: Transactions): Promise<readonly string[]> {
  const waiting = await transactions.run(({ manager, now }) =>
    manager.find(OperationEntity, {
      select: { desktopId: true },
      where: { status: 'pending', validUntil: LessThan(now) },
    }),
  );
  const ended: string[] = [];
  for (const { desktopId } of waiting) {
    const isOver = await transactions.run(async (transaction) => {
      const loaded = await lockDesktop(transaction.manager, desktopId);
      return loaded?.operation?.status === 'pending' && callOffExpired(transaction, loaded);
    });
    if (isOver) ended.push(desktopId);
  }
  return ended;
}

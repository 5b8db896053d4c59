import { DormouseError } from '@dormouse/errors';
import type { Decision, SessionEvent } from '@dormouse/session';
import type { Fence } from './commands';
import { decideAndWrite } from './decide-and-write';
import { lockDesktop, type LoadedDesktop } from './loaded-desktop';
import type { LedgerTransaction } from './ledger-transaction';
import type { Transactions } from './transactions';

/** Reports what the worker has come to; true when it was agreed to, and then `agreed` writes what goes with it. */
export function ask(
  transactions: Transactions,
  fence: Fence,
  event: (generation: number) => SessionEvent,
  agreed?: (transaction: LedgerTransaction, loaded: LoadedDesktop) => Promise<void>,
): Promise<boolean> {
  return transactions.run(async (transaction) => {
    const loaded = await lockInForce(transaction, fence);
    if (loaded === null) return false;
    const decision = await decideAndWrite(transaction, loaded, event(fence.generation));
    if (isMisreport(decision)) throw misreport(decision, fence);
    if (decision.outcome !== 'applied') return false;
    await agreed?.(transaction, loaded);
    return true;
  });
}

/** The desktop, if the fence names the claim that is in force; null for all that come too late. */
export async function lockInForce({ manager }: LedgerTransaction, fence: Fence): Promise<LoadedDesktop | null> {
  const loaded = await lockDesktop(manager, fence.desktopId);
  const operation = loaded?.operation;
  const inForce =
    operation?.id === fence.operationId &&
    operation.generation === fence.generation &&
    operation.attempt === fence.attempt;
  return loaded && inForce ? loaded : null;
}

/** A report that does not fit the state is a fault of the worker's code: better heard than obeyed. */
export function isMisreport(decision: Decision): boolean {
  return decision.refusal?.code === 'INTERNAL';
}

export function misreport({ explanation }: Decision, { desktopId, operationId }: Fence): DormouseError {
  return new DormouseError('INTERNAL', explanation, { desktopId, operationId });
}

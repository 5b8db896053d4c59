import { DormouseError } from '@dormouse/errors';
import type { Fence, SessionLedger } from '@dormouse/ledger';

export function cancelled(): DormouseError {
  return new DormouseError('CANCELLED', 'the operation was called off');
}

/**
 * Why the ledger has answered "no": CANCELLED, and the machine is to be brought back to what it was; or SUPERSEDED by
 * a worker that took over from us, whose business the machine is now: not even a clean-up of ours may touch it.
 */
export async function whyNot(ledger: Pick<SessionLedger, 'viewOperation'>, fence: Fence): Promise<DormouseError> {
  const { attempt, endedAt } = await ledger.viewOperation(fence.operationId);
  if (attempt === fence.attempt && endedAt === null) return cancelled();
  return new DormouseError('SUPERSEDED', 'another worker has taken over the operation');
}

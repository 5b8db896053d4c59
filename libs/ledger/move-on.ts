import { DesktopEntity, OperationEntity } from '@dormouse/persistence';
import type { Fence } from './commands';
import { decideAndWrite } from './decide-and-write';
import { isMisreport, lockInForce, misreport } from './fenced';
import { operationJob } from './outbox';
import { placeElsewhere } from './placing';
import { updateRow } from './rows';
import type { Transactions } from './transactions';

/**
 * A wake that does not succeed on its host goes to another that has not tried it. From then on it is no longer its worker's.
 * @param failures what was tried, in words
 * @returns the host it goes to; null when there is none, or the operation is no longer in force
 */
export function moveOn(transactions: Transactions, fence: Fence, failures: readonly string[]): Promise<string | null> {
  return transactions.run(async (transaction) => {
    const { manager } = transaction;
    const loaded = await lockInForce(transaction, fence);
    const operation = loaded?.operation;
    if (!loaded || !operation) return null;
    const triedHosts = [...((operation.progress['triedHosts'] ?? []) as string[]), String(operation.hostId)];
    const hostId = await placeElsewhere(transaction, loaded, triedHosts);
    if (hostId === null) return null;
    const decision = await decideAndWrite(transaction, loaded, {
      type: 'elsewhere_asked',
      generation: fence.generation,
    });
    if (isMisreport(decision)) throw misreport(decision, fence);
    if (decision.outcome !== 'applied') return null;
    await updateRow(manager, DesktopEntity, loaded.row, { hostId });
    const told = [...failures, `elsewhere: from ${operation.hostId} to ${hostId}`];
    await updateRow(manager, OperationEntity, operation, {
      hostId,
      workerId: null,
      leaseExpiresAt: null,
      progress: { ...operation.progress, triedHosts, failures: told },
    });
    operationJob(transaction, operation, 'add');
    return hostId;
  });
}

import { DormouseError } from '@dormouse/errors';
import { asOperationView } from './as-view';
import { recordAudit } from './audit';
import type { RequestCommand } from './commands';
import { decideAndWrite } from './decide-and-write';
import { lockDesktop, lockKnownDesktop } from './loaded-desktop';
import type { Transactions } from './transactions';
import type { OperationView } from './views';

/** What people ask for. A refusal is thrown after the commit, so that it stays in the audit log. */
export async function request(
  transactions: Transactions,
  desktopId: string,
  { kind, reason, requestedBy, force = false }: RequestCommand,
): Promise<{ operation: OperationView; joined: boolean }> {
  const { decision, operation } = await transactions.run(async (transaction) => {
    const loaded = await lockKnownDesktop(transaction.manager, desktopId);
    const decided = await decideAndWrite(transaction, loaded, { type: 'request', kind, reason, requestedBy, force });
    await recordAudit(transaction, {
      actor: requestedBy,
      action: `desktop.${kind}`,
      target: desktopId,
      reason,
      outcome: decided.refusal?.code ?? decided.outcome,
      ...(force ? { details: { force } } : {}),
    });
    return { decision: decided, operation: loaded.operation };
  });
  if (decision.refusal !== undefined || operation === null) {
    const { code, message } = decision.refusal ?? { code: 'DESKTOP_BUSY', message: decision.explanation };
    throw new DormouseError(code, message, { desktopId });
  }
  return { operation: asOperationView(operation), joined: decision.outcome === 'joined' };
}

export function graceElapsed(transactions: Transactions, desktopId: string, generation: number): Promise<void> {
  return transactions.run(async (transaction) => {
    const loaded = await lockDesktop(transaction.manager, desktopId);
    if (loaded !== null) await decideAndWrite(transaction, loaded, { type: 'grace_elapsed', generation });
  });
}

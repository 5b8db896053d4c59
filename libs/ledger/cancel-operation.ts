import { DormouseError } from '@dormouse/errors';
import { OperationEntity } from '@dormouse/persistence';
import type { OperationView } from '@dormouse/views';
import { asOperationView } from './as-view';
import { recordAudit } from './audit';
import type { CancelCommand } from './commands';
import { decideAndWrite } from './decide-and-write';
import { lockDesktop } from './loaded-desktop';
import { findOperation } from './reading';
import type { Transactions } from './transactions';

/** Ends an operation that no worker has taken, or asks its worker to give it up. A refusal is thrown after the commit. */
export async function cancelOperation(
  transactions: Transactions,
  operationId: string,
  { reason, requestedBy }: CancelCommand,
): Promise<OperationView> {
  const { refusal, view } = await transactions.run(async (transaction) => {
    const { manager } = transaction;
    const { desktopId, kind, generation } = await findOperation(manager, operationId);
    const loaded = await lockDesktop(manager, desktopId);
    const decision =
      loaded === null || loaded.operation?.id !== operationId
        ? null
        : await decideAndWrite(transaction, loaded, { type: 'cancel_asked', generation, requestedBy, reason });
    const ended = { code: 'OPERATION_ENDED', message: `the ${kind} has ended; there is nothing to cancel` } as const;
    const refused = decision === null ? ended : decision.refusal;
    await recordAudit(transaction, {
      actor: requestedBy,
      action: 'operation.cancel',
      target: desktopId,
      reason,
      outcome: refused?.code ?? decision?.outcome ?? 'accepted',
      details: { operationId, kind },
    });
    const row = await manager.findOneByOrFail(OperationEntity, { id: operationId });
    return { refusal: refused, view: asOperationView(row) };
  });
  if (refusal !== undefined) throw new DormouseError(refusal.code, refusal.message, { operationId });
  return view;
}

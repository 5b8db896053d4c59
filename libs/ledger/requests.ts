import { DormouseError, type ErrorCode } from '@dormouse/errors';
import { OperationEntity } from '@dormouse/persistence';
import type { Consent, Decision } from '@dormouse/session';
import type { OperationView } from '@dormouse/views';
import { asOperationView } from './as-view';
import { recordAudit } from './audit';
import type { RequestCommand } from './commands';
import { decideAndWrite } from './decide-and-write';
import { findDurable, notKept } from './kept-checkpoints';
import { diskWentOn } from './ladder';
import { lockDesktop, lockKnownDesktop, sessionOf, type LoadedDesktop } from './loaded-desktop';
import { updateRow } from './rows';
import { forcedForMs } from './write-decision';
import type { LedgerTransaction } from './ledger-transaction';
import type { Transactions } from './transactions';

/** What people ask for. A refusal is thrown after the commit, so that it stays in the audit log. */
export async function request(
  transactions: Transactions,
  desktopId: string,
  command: RequestCommand,
): Promise<{ operation: OperationView; joined: boolean }> {
  const { kind, reason, requestedBy, force = false, fresh = false, validForMs = forcedForMs, checkpointId } = command;
  const { decision, operation } = await transactions.run(async (transaction) => {
    const loaded = await lockKnownDesktop(transaction.manager, desktopId);
    const decided = await decideRequest(transaction, loaded, command);
    if (force && decided.refusal === undefined && loaded.operation !== null) {
      const validUntil = new Date(transaction.now.getTime() + validForMs);
      await updateRow(transaction.manager, OperationEntity, loaded.operation, { validUntil });
    }
    await recordAudit(transaction, {
      actor: requestedBy,
      action: `desktop.${kind}`,
      target: desktopId,
      reason,
      outcome: decided.refusal?.code ?? decided.outcome,
      details: {
        ...(force && { force }),
        ...(fresh && { fresh }),
        ...(checkpointId !== undefined && { checkpointId }),
        ...(decided.refusal === undefined && loaded.operation !== null && { operationId: loaded.operation.id }),
      },
    });
    return { decision: decided, operation: loaded.operation };
  });
  if (decision.refusal !== undefined || operation === null) {
    const { code, message } = decision.refusal ?? { code: 'DESKTOP_BUSY', message: decision.explanation };
    throw new DormouseError(code, message, { desktopId });
  }
  return { operation: asOperationView(operation), joined: decision.outcome === 'joined' };
}

async function decideRequest(
  transaction: LedgerTransaction,
  loaded: LoadedDesktop,
  { checkpointId, validForMs: _, ...asked }: RequestCommand,
): Promise<Decision> {
  const event = { type: 'request', ...asked } as const;
  const to =
    checkpointId === undefined || checkpointId === loaded.row.checkpointId ? 'own-checkpoint' : 'older-checkpoint';
  if (asked.kind === 'restore' && (await needsConsent(transaction, loaded, to))) {
    return refusal(loaded, 'CONSENT_NEEDED', consentTo(loaded, to));
  }
  if (checkpointId === undefined) return decideAndWrite(transaction, loaded, event);
  const named = { desktopId: loaded.row.id, checkpointId };
  const found = await findDurable(transaction.manager, named);
  if (found === null) return refusal(loaded, 'CHECKPOINT_UNKNOWN', notKept(named));
  const checkpoint = { id: found.id, current: found.id === loaded.row.checkpointId };
  return decideAndWrite(transaction, loaded, { ...event, checkpoint });
}

/**
 * Whoever may wake desktops may wake a blocked one, too, when its pool consents to what that loses, or when it loses nothing: no guest has
 * written to its disk since its own checkpoint was made, and perhaps somebody has repaired that.
 */
async function needsConsent(
  { manager }: Pick<LedgerTransaction, 'manager'>,
  { row, pool }: LoadedDesktop,
  to: Consent,
): Promise<boolean> {
  if (row.machineState !== 'restore-blocked' || pool.policy.consents?.includes(to) === true) return false;
  if (to !== 'own-checkpoint') return true;
  const { id: desktopId, checkpointId } = row;
  return checkpointId !== null && diskWentOn(row, await findDurable(manager, { desktopId, checkpointId }));
}

function consentTo({ row }: LoadedDesktop, to: Consent): string {
  return (
    `the desktop is restore-blocked, and to wake it loses work: \`dormouse desktop explain ${row.id}\` says what; an admin consents with ` +
    `\`dormouse desktop consent ${row.id} ${to}\``
  );
}

function refusal(loaded: LoadedDesktop, code: ErrorCode, message: string): Decision {
  const session = sessionOf(loaded);
  return { outcome: 'refused', session, effects: [], explanation: message, refusal: { code, message } };
}

export function graceElapsed(transactions: Transactions, desktopId: string, generation: number): Promise<void> {
  return transactions.run(async (transaction) => {
    const loaded = await lockDesktop(transaction.manager, desktopId);
    if (loaded !== null) await decideAndWrite(transaction, loaded, { type: 'grace_elapsed', generation });
  });
}

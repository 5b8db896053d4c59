import { DormouseError, type ErrorCode } from '@dormouse/errors';
import { CheckpointEntity, type DesktopEntity } from '@dormouse/persistence';
import {
  consentedRung,
  passingRestores,
  policyActor,
  requestOf,
  rungsOf,
  type Consent,
  type Decision,
  type Resort,
  type Rung,
} from '@dormouse/session';
import type { OperationView } from '@dormouse/views';
import { asOperationView } from './as-view';
import { recordAudit } from './audit';
import type { ConsentCommand } from './commands';
import { decideAndWrite } from './decide-and-write';
import { lockKnownDesktop, sessionOf, type LoadedDesktop } from './loaded-desktop';
import type { LedgerTransaction } from './ledger-transaction';
import type { Transactions } from './transactions';

/** What can be done with a desktop that cannot be woken, the step that loses least first; nothing for any other desktop. */
export async function rungsFor(
  { manager }: Pick<LedgerTransaction, 'manager'>,
  loaded: LoadedDesktop,
): Promise<readonly Rung[]> {
  const { id: desktopId, machineState, checkpointId } = loaded.row;
  if (machineState !== 'restore-blocked') return [];
  const durable = await manager.findBy(CheckpointEntity, { desktopId, state: 'durable' });
  const current = durable.find(({ id }) => id === checkpointId) ?? null;
  const since = current?.durableAt ?? new Date(0);
  // Of the operations since its checkpoint was made: those before it tell of another desktop, as it were.
  const failed: { kind: string; checkpoint: string; failures: number }[] = await manager.query(
    `SELECT kind, coalesce(input -> 'goingBack' ->> 'checkpointId', $2) AS checkpoint, count(*)::int AS failures FROM operations
     WHERE desktop_id = $1 AND kind IN ('restore', 'boot') AND status = 'failed' AND created_at >= $3
       AND error ->> 'code' <> ALL ($4)
     GROUP BY 1, 2`,
    [desktopId, checkpointId, since, passingRestores],
  );
  const failuresOf = (kind: string, id: string): number =>
    failed.find((one) => one.kind === kind && one.checkpoint === id)?.failures ?? 0;
  const resorts = durable.map(({ id, durableAt }): Resort => {
    return { id, durableAtMs: durableAt!.getTime(), failures: failuresOf('restore', id) };
  });
  const own = resorts.find(({ id }) => id === checkpointId) ?? null;
  const older = resorts.filter(({ durableAtMs }) => own === null || durableAtMs < own.durableAtMs);
  return rungsOf(sessionOf(loaded), {
    own,
    older,
    diskWentOn: diskWentOn(loaded.row, current),
    coldBootFailures: failuresOf('boot', checkpointId ?? ''),
  });
}

/** Whether a guest has written to the disk since the desktop's checkpoint was made: to wake that loses what was written. */
export function diskWentOn(
  { diskGeneration }: Pick<DesktopEntity, 'diskGeneration'>,
  own: Pick<CheckpointEntity, 'diskGeneration'> | null,
): boolean {
  return own !== null && own.diskGeneration !== diskGeneration;
}

/** Takes the next step with a desktop that could not be woken, if its pool has consented to it beforehand. */
export async function climb(transaction: LedgerTransaction, loaded: LoadedDesktop): Promise<void> {
  const { row, pool } = loaded;
  const rung = consentedRung(await rungsFor(transaction, loaded), pool.policy);
  if (rung === null) return;
  const reason = `its pool consents, and it cannot be woken otherwise: ${row.lastError?.message ?? 'nobody knows why'}`;
  await take(transaction, loaded, rung, { reason, requestedBy: policyActor });
}

/** An admin says that what a step loses may be lost. A refusal is thrown after the commit, so that it stays in the audit log. */
export async function consent(
  transactions: Transactions,
  desktopId: string,
  { to, reason, requestedBy }: ConsentCommand,
): Promise<OperationView> {
  const { refusal, operation } = await transactions.run(async (transaction) => {
    const loaded = await lockKnownDesktop(transaction.manager, desktopId);
    const rung = (await rungsFor(transaction, loaded)).find((one) => one.to === to) ?? ownOnceMore(loaded, to);
    if (rung === null) {
      const refused = whyNot(loaded, to);
      const entry = { actor: requestedBy, action: 'desktop.consent', target: desktopId, reason, details: { to } };
      await recordAudit(transaction, { ...entry, outcome: refused.code });
      return { refusal: refused, operation: null };
    }
    const { refusal: refused } = await take(transaction, loaded, rung, { reason, requestedBy });
    return { refusal: refused, operation: loaded.operation };
  });
  if (refusal === undefined && operation !== null) return asOperationView(operation);
  const { code, message } = refusal ?? { code: 'INTERNAL', message: 'a step was taken that opened no operation' };
  throw new DormouseError(code, message, { desktopId });
}

/** A checkpoint that was damaged may have been repaired. Dormouse does not try it by itself; an admin can. */
function ownOnceMore({ row }: LoadedDesktop, to: Consent): Rung | null {
  if (to !== 'own-checkpoint' || row.checkpointId === null || row.machineState !== 'restore-blocked') return null;
  return { to, checkpointId: row.checkpointId, asOfMs: null, failed: true };
}

async function take(
  transaction: LedgerTransaction,
  loaded: LoadedDesktop,
  rung: Rung,
  who: { readonly reason: string; readonly requestedBy: string },
): Promise<Decision> {
  const { to, checkpointId } = rung;
  const decision = await decideAndWrite(transaction, loaded, requestOf(rung, who));
  await recordAudit(transaction, {
    actor: who.requestedBy,
    action: 'desktop.consent',
    target: loaded.row.id,
    reason: who.reason,
    outcome: decision.refusal?.code ?? decision.outcome,
    details: {
      to,
      ...(checkpointId !== null && { checkpointId }),
      ...(decision.refusal === undefined && loaded.operation !== null && { operationId: loaded.operation.id }),
    },
  });
  return decision;
}

function whyNot({ row }: LoadedDesktop, to: ConsentCommand['to']): { code: ErrorCode; message: string } {
  if (row.machineState !== 'restore-blocked') {
    const message = `the desktop is ${row.machineState}; there is something to consent to when it is restore-blocked`;
    return { code: 'DESKTOP_BUSY', message };
  }
  const why =
    to === 'own-checkpoint'
      ? 'it has no checkpoint of its own'
      : 'it keeps no older checkpoint that has not been tried';
  return { code: 'CHECKPOINT_UNKNOWN', message: `${why}; \`dormouse desktop explain ${row.id}\` says what is left` };
}

import { DormouseError } from '@dormouse/errors';
import { CheckpointEntity, DesktopEntity, OperationEntity } from '@dormouse/persistence';
import type { JsonObject, KeptCondition, Observed, OperationPhase } from '@dormouse/session';
import type { EntityManager } from 'typeorm';
import type { DesktopView } from '@dormouse/views';
import { asDesktopView } from './as-view';
import { withdrawCheckpoint, writeWoken } from './checkpoints';
import type { Fence, FinishOutcome } from './commands';
import { condemnUnfinished } from './condemn';
import { decideAndWrite } from './decide-and-write';
import { layerOf, openDiskGeneration } from './disk-generations';
import { ask, isMisreport, lockInForce, misreport } from './fenced';
import { holdsHost, type ClaimedHost } from './host-claims';
import { climb } from './ladder';
import { lockKnownDesktop, type LoadedDesktop } from './loaded-desktop';
import { applyRetention, findCheckpointInUse } from './retention';
import { updateRow } from './rows';
import type { LedgerTransaction } from './ledger-transaction';
import type { Transactions } from './transactions';

/** What a fence names as long as its operation is in force and not to be given up. */
const inForce = `id = $1 AND desktop_id = $2 AND generation = $3 AND attempt = $4
  AND status = 'active' AND cancel_requested_at IS NULL`;

export async function goesOn(manager: EntityManager, fence: Fence): Promise<boolean> {
  const rows: unknown[] = await manager.query(`SELECT FROM operations WHERE ${inForce}`, [...namesOf(fence)]);
  return rows.length > 0;
}

/** One guarded statement, no decision: progress is told often, and must not wait for the desktop's row. */
export async function progress(manager: EntityManager, fence: Fence, facts: JsonObject): Promise<boolean> {
  const [, told]: [unknown, number] = await manager.query(
    `UPDATE operations SET progress = progress || $5 WHERE ${inForce}`,
    [...namesOf(fence), JSON.stringify(facts)],
  );
  return told > 0;
}

function namesOf({ operationId, desktopId, generation, attempt }: Fence): readonly unknown[] {
  return [operationId, desktopId, generation, attempt];
}

export function advance(transactions: Transactions, fence: Fence, phase: OperationPhase): Promise<boolean> {
  return ask(transactions, fence, (generation) => ({ type: 'phase_reached', generation, phase }));
}

/** The desktop sleeps in its checkpoint again, on the disk that was sealed with it; the layer above is nobody's any more. */
export function fallBack(transactions: Transactions, fence: Fence): Promise<boolean> {
  return ask(
    transactions,
    fence,
    (generation) => ({ type: 'fall_back_asked', generation }),
    async ({ manager }, { row, operation }) => {
      const { id, diskGeneration } = await manager.findOneByOrFail(CheckpointEntity, { id: row.checkpointId! });
      await updateRow(manager, DesktopEntity, row, { diskGeneration });
      if (operation !== null) await updateRow(manager, OperationEntity, operation, { result: { fellBackTo: id } });
    },
  );
}

export function authorizeSwitchover(transactions: Transactions, fence: Fence): Promise<boolean> {
  return ask(transactions, fence, (generation) => ({ type: 'switchover_reached', generation }));
}

/** Until when the saved machine is left in memory, by this worker too; null when it is not. */
export function linger(transactions: Transactions, fence: Fence): Promise<Date | null> {
  return transactions.run(async (transaction) => {
    const loaded = await lockInForce(transaction, fence);
    if (loaded === null) return null;
    const decision = await decideAndWrite(transaction, loaded, {
      type: 'linger_asked',
      generation: fence.generation,
    });
    if (isMisreport(decision)) throw misreport(decision, fence);
    return decision.outcome === 'applied' ? (loaded.operation?.leaseExpiresAt ?? null) : null;
  });
}

export function beginRelease(transactions: Transactions, fence: Fence): Promise<boolean> {
  return ask(transactions, fence, (generation) => ({ type: 'release_reached', generation }));
}

/** From here on the disk is what the guest makes of it: whatever becomes of the machine, the desktop keeps the layer it writes to. */
export function guestRan(
  transactions: Transactions,
  fence: Fence,
  result: JsonObject,
  found: FinishOutcome['desktop'] = {},
): Promise<boolean> {
  return ask(
    transactions,
    fence,
    (generation) => ({ type: 'guest_ran', generation }),
    async (transaction, loaded) => {
      const { operation } = loaded;
      if (operation === null) return;
      await writeFindings(transaction, loaded, fence, found);
      await updateRow(transaction.manager, OperationEntity, operation, { result: { ...operation.result, ...result } });
    },
  );
}

export function finish(transactions: Transactions, fence: Fence, outcome: FinishOutcome): Promise<void> {
  return transactions.run(async (transaction) => {
    const loaded = await lockInForce(transaction, fence);
    if (loaded === null) return;
    const { row, operation } = loaded;
    const withdrawn =
      row.machineState === 'resident' && operation?.phase !== 'release' && outcome.status !== 'succeeded';
    await writeFindings(transaction, loaded, fence, outcome.desktop);
    if (outcome.status === 'succeeded' && operation?.kind === 'register') {
      await writeAccepted(transaction, row, operation, outcome);
    }
    const woken = outcome.status === 'succeeded' && operation?.kind === 'restore';
    if (woken) await writeWoken(transaction, loaded);
    const coldBooted = outcome.status === 'succeeded' && operation?.kind === 'boot' && operation.input?.goingBack;
    // It stays, and can be gone back to; but what is saved next has nothing to do with it.
    if (coldBooted) await updateRow(transaction.manager, DesktopEntity, row, { checkpointId: null });
    const decision = await decideAndWrite(
      transaction,
      loaded,
      {
        type: 'operation_finished',
        generation: fence.generation,
        status: outcome.status,
        error: outcome.error ?? null,
      },
      { ...(outcome.result && { result: outcome.result }) },
    );
    if (isMisreport(decision)) throw misreport(decision, fence);
    if (withdrawn) await withdrawCheckpoint(transaction, row);
    await condemnUnfinished(transaction, fence.desktopId);
    if (woken) await applyRetention(transaction, loaded);
    if (outcome.status === 'failed' && (operation?.kind === 'restore' || operation?.kind === 'boot')) {
      await climb(transaction, loaded);
    }
  });
}

export function reportMachine(
  transactions: Transactions,
  desktopId: string,
  observed: Observed,
  host: ClaimedHost | null,
): Promise<DesktopView> {
  return transactions.run(async (transaction) => {
    const loaded = await lockKnownDesktop(transaction.manager, desktopId);
    // Whoever is not the host any more does not see its machines.
    if (host === null || (await holdsHost(transaction.manager, host))) {
      await decideAndWrite(transaction, loaded, { type: 'machine_observed', observed });
    }
    return asDesktopView(loaded.row, loaded.operation);
  });
}

/** Since when it is so the ledger says. */
export type ReportedCondition = Omit<KeptCondition, 'since'>;

/** What QEMU says of a guest; null: it simply runs. One guarded statement, no decision. */
export async function reportCondition(
  { manager, now }: LedgerTransaction,
  { desktopId, hostId }: { desktopId: string; hostId: string },
  condition: ReportedCondition | null,
): Promise<void> {
  const kept: KeptCondition | null = condition && { ...condition, since: now.toISOString() };
  await manager.query(
    `UPDATE desktops SET guest_condition = $3
     WHERE id = $1 AND host_id = $2 AND guest_condition -> 'kind' IS DISTINCT FROM ($3::jsonb) -> 'kind'`,
    [desktopId, hostId, kept === null ? null : JSON.stringify(kept)],
  );
}

async function writeFindings(
  transaction: LedgerTransaction,
  loaded: LoadedDesktop,
  fence: Fence,
  found: FinishOutcome['desktop'],
): Promise<void> {
  const { row } = loaded;
  if (found?.diskGeneration !== undefined) await writeLayer(transaction, loaded, fence, found.diskGeneration);
  if (found?.hostId !== undefined) await updateRow(transaction.manager, DesktopEntity, row, { hostId: found.hostId });
}

/** Only the layer that the claim has named, which is never a sealed one. @throws INTERNAL for any other */
async function writeLayer(
  transaction: LedgerTransaction,
  loaded: LoadedDesktop,
  { desktopId, operationId }: Fence,
  generation: string,
): Promise<void> {
  const { manager } = transaction;
  const { row, operation } = loaded;
  const checkpoint = await findCheckpointInUse(manager, loaded);
  const layer = operation === null ? null : await layerOf(manager, row, operation, checkpoint);
  if (layer?.generation !== generation) {
    const message = `a machine writes to the disk layer ${generation}, and was to write to ${layer?.generation ?? 'none'}`;
    throw new DormouseError('INTERNAL', message, { desktopId, operationId });
  }
  await openDiskGeneration(transaction, desktopId, layer);
  await updateRow(manager, DesktopEntity, row, { diskGeneration: generation });
}

/** The spec that was examined becomes the desktop's own, with what was found. */
async function writeAccepted(
  { manager }: LedgerTransaction,
  row: DesktopEntity,
  { input }: OperationEntity,
  { desktop: found }: FinishOutcome,
): Promise<void> {
  const candidate = input?.launchSpec as JsonObject | undefined;
  await updateRow(manager, DesktopEntity, row, {
    fingerprint: found?.fingerprint ?? {},
    launchSpec: candidate ?? row.launchSpec,
  });
}

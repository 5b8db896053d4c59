import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { DesktopEntity, OperationEntity } from '@dormouse/persistence';
import {
  firstPhase,
  type Decision,
  type Effect,
  type EndedStatus,
  type JsonObject,
  type Session,
} from '@dormouse/session';
import { shredKey } from './data-keys';
import type { LoadedDesktop } from './loaded-desktop';
import { graceJob, operationJob, resumeJob } from './outbox';
import { callNext } from './pool-caps';
import { placeOperations } from './placing';
import { insertRow, updateRow, updateRows, type RowChanges } from './rows';
import type { LedgerTransaction } from './ledger-transaction';

/**
 * An operation that overrides a user's presence may begin for this long. Whoever asked saw who was there at that moment; when its
 * host, Redis or the whole of Dormouse comes back hours later, somebody else may be at work.
 */
export const forcedForMs = 10 * 60_000;

/** What is known at the time of a decision and belongs into the rows it writes. */
export interface DecisionContext {
  /** Of an operation that ends with this decision. */
  readonly result?: JsonObject;
  /** Of an operation that opens with it. */
  readonly input?: JsonObject;
}

/** Writes what was decided: the desktop, its operations, and the work that follows. `loaded` is brought up to date. */
export async function writeDecision(
  transaction: LedgerTransaction,
  loaded: LoadedDesktop,
  decision: Decision,
  context: DecisionContext = {},
): Promise<void> {
  await callNext(transaction, loaded, decision.session);
  await updateRow(transaction.manager, DesktopEntity, loaded.row, decided(transaction, loaded, decision));
  const opened = await writeWhatFollows(transaction, loaded, decision, context);
  if (opened !== null) await sendOff(transaction, [opened]);
}

/**
 * Writes decisions that come together: the rows of their desktops, and the places of the machines that are to be started, are
 * kept for the end, where few statements write all.
 */
export class DecisionsTogether {
  private readonly unwritten = new Map<string, RowChanges<DesktopEntity>>();
  private readonly opened: Opened[] = [];

  constructor(private readonly transaction: LedgerTransaction) {}

  async write(loaded: LoadedDesktop, decision: Decision): Promise<void> {
    await callNext(this.transaction, loaded, decision.session);
    const { row } = loaded;
    const changes = decided(this.transaction, loaded, decision);
    Object.assign(row, changes);
    this.unwritten.set(row.id, { id: row.id, ...changes });
    const opened = await writeWhatFollows(this.transaction, loaded, decision, {});
    if (opened !== null) this.opened.push(opened);
  }

  /** To be called after the last, and after all else that takes time: see `placeOperations`. */
  async writeRest(): Promise<void> {
    await updateRows(this.transaction.manager, DesktopEntity, [...this.unwritten.values()]);
    // One that was ended again by a later decision needs no place.
    await sendOff(
      this.transaction,
      this.opened.filter(({ loaded, operation }) => loaded.operation === operation),
    );
  }
}

interface Opened {
  readonly loaded: LoadedDesktop;
  readonly operation: OperationEntity;
}

/** Gives what was opened its host, and its host the job. */
async function sendOff(transaction: LedgerTransaction, opened: readonly Opened[]): Promise<void> {
  await placeOperations(
    transaction,
    opened.map(({ loaded }) => loaded),
  );
  for (const { operation } of opened) operationJob(transaction, operation, 'add');
}

/** @returns the operation that was opened; it has neither place nor job */
async function writeWhatFollows(
  transaction: LedgerTransaction,
  loaded: LoadedDesktop,
  { effects, session }: Decision,
  context: DecisionContext,
): Promise<Opened | null> {
  const before = loaded.operation;
  for (const effect of effects) await writeEffect(transaction, loaded, effect, context);
  await writeOperation(transaction, loaded, session);
  const { operation } = loaded;
  // The machine it ends is where the operation that it has overtaken was starting or waking it.
  if (before !== null && operation?.kind === 'stop' && operation !== before && before.hostId !== operation.hostId) {
    await updateRow(transaction.manager, OperationEntity, operation, { hostId: before.hostId });
  }
  return operation === null || operation === before ? null : { loaded, operation };
}

/** What a decision makes of a desktop's row. */
function decided({ now }: LedgerTransaction, { pool }: LoadedDesktop, { session }: Decision): Partial<DesktopEntity> {
  return {
    poolVersion: pool.version,
    machineState: session.machine,
    stateSince: new Date(session.machineSinceMs),
    generation: session.generation,
    presence: session.presence,
    broker: session.broker,
    absentSince: dateOf(session.absence?.sinceMs ?? null),
    absenceCause: session.absence?.cause ?? null,
    doubtSince: dateOf(session.doubtSinceMs),
    wokeAt: dateOf(session.wokeAtMs),
    untouched: session.untouched,
    heldUntil: dateOf(session.heldUntilMs),
    graceDeadline: dateOf(session.deadlineMs),
    restoreFailures: session.restoreFailures,
    wakesInVain: session.wakesInVain,
    saveFailures: session.saveFailures,
    lastError: session.lastError,
    updatedAt: now,
  };
}

function dateOf(epochMs: number | null): Date | null {
  return epochMs === null ? null : new Date(epochMs);
}

async function writeOperation(transaction: LedgerTransaction, { operation }: LoadedDesktop, session: Session) {
  const { manager, now } = transaction;
  const decided = session.operation;
  if (operation === null || decided === null) return;
  const { phase, status, forced, awaited, again } = operation;
  const { again: wanted } = decided;
  const isSame =
    phase === decided.phase && status === decided.status && forced === decided.forced && awaited === decided.awaited;
  if (isSame && isDeepStrictEqual(again, wanted)) return;
  if (phase !== decided.phase) phaseOver(transaction, operation, null);
  await updateRow(manager, OperationEntity, operation, {
    phase: decided.phase,
    status: decided.status,
    forced: decided.forced,
    awaited: decided.awaited,
    again: wanted,
    ...(operation.phase === decided.phase ? {} : { phaseSince: now }),
  });
}

async function writeEffect(
  transaction: LedgerTransaction,
  loaded: LoadedDesktop,
  effect: Effect,
  context: DecisionContext,
): Promise<void> {
  const { manager, now } = transaction;
  const { row, operation } = loaded;
  switch (effect.type) {
    case 'open_operation':
      loaded.operation = await openOperation(transaction, row, effect, context);
      return;
    case 'end_operation': {
      if (operation === null) return;
      phaseOver(transaction, operation, effect.status);
      await updateRow(manager, OperationEntity, operation, {
        status: effect.status,
        // Of one that was called off, what was written down when its worker was asked to give it up.
        error: effect.error ?? (effect.status === 'cancelled' ? operation.error : null),
        result: context.result === undefined ? operation.result : { ...operation.result, ...context.result },
        endedAt: now,
        leaseExpiresAt: null,
        waitsForPool: null,
      });
      loaded.operation = null;
      return effect.unclaimed ? operationJob(transaction, operation, 'remove') : undefined;
    }
    case 'request_cancel':
      if (operation !== null) {
        await updateRow(manager, OperationEntity, operation, { cancelRequestedAt: now, error: effect.because });
      }
      return;
    case 'hasten_operation':
      // That it is awaited is written with the rest of what was decided of it.
      return operation === null ? undefined : operationJob(transaction, { ...operation, awaited: true }, 'hasten');
    case 'resume_operation': {
      if (operation === null) return;
      // Whoever looks for operations that nobody holds leaves it alone until then.
      const at = new Date(effect.atMs);
      await updateRow(manager, OperationEntity, operation, { leaseExpiresAt: at });
      return resumeJob(transaction, operation, at);
    }
    case 'schedule_grace':
      return graceJob(transaction, { desktopId: row.id, generation: effect.generation, at: new Date(effect.atMs) });
    case 'unschedule_grace':
      return graceJob(transaction, { desktopId: row.id, generation: effect.generation, at: 'never' });
    case 'remove_desktop':
      await shredKey(manager, row.id);
      await manager.delete(DesktopEntity, { id: row.id });
  }
}

function phaseOver(
  transaction: LedgerTransaction,
  { kind, phase, phaseSince }: OperationEntity,
  outcome: EndedStatus | null,
): void {
  transaction.stepped({ kind, phase, ms: transaction.now.getTime() - phaseSince.getTime(), outcome });
}

async function openOperation(
  { manager, now }: LedgerTransaction,
  desktop: DesktopEntity,
  effect: Effect & { type: 'open_operation' },
  { input }: DecisionContext,
): Promise<OperationEntity> {
  const operation = Object.assign(new OperationEntity(), {
    id: randomUUID(),
    desktopId: desktop.id,
    kind: effect.kind,
    phase: firstPhase(effect.kind),
    status: 'pending' as const,
    generation: effect.generation,
    reason: effect.reason,
    requestedBy: effect.requestedBy,
    cancelRequestedAt: null,
    forced: effect.forced,
    validUntil: effect.forced ? new Date(now.getTime() + forcedForMs) : null,
    awaited: effect.awaited,
    again: null,
    poolId: desktop.poolId,
    waitsForPool: null,
    hostId: desktop.hostId,
    workerId: null,
    leaseExpiresAt: null,
    hostSlot: null,
    storageSlot: null,
    attempt: 0,
    input: effect.goingBack === null ? (input ?? null) : { goingBack: { ...effect.goingBack } },
    progress: {},
    result: null,
    error: null,
    createdAt: now,
    startedAt: null,
    phaseSince: now,
    endedAt: null,
  });
  await insertRow(manager, OperationEntity, operation);
  return operation;
}

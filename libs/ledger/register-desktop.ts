import { isDeepStrictEqual } from 'node:util';
import { DormouseError } from '@dormouse/errors';
import { DesktopEntity, PoolEntity } from '@dormouse/persistence';
import { newSession } from '@dormouse/session';
import { desktopIdInWords, desktopKey, isDesktopId } from '@dormouse/text';
import { asDesktopView, asOperationView } from './as-view';
import { recordAudit } from './audit';
import type { Registered, Registration } from './commands';
import { decideAndWrite } from './decide-and-write';
import { chooseHost } from './hosts';
import { lockDesktop, type LoadedDesktop } from './loaded-desktop';
import { insertRow, updateRow } from './rows';
import { takeTurns } from './take-turns';
import type { LedgerTransaction } from './ledger-transaction';
import type { Transactions } from './transactions';
import { writeDecision } from './write-decision';

const unsaid = 'registration';

export function registerDesktop(transactions: Transactions, registration: Registration): Promise<Registered> {
  if (!isDesktopId(registration.id)) {
    throw new DormouseError('REQUEST_INVALID', desktopIdInWords, { id: registration.id });
  }
  return transactions.run(async (transaction) => {
    const { manager } = transaction;
    const pool = await manager.findOneBy(PoolEntity, { id: registration.poolId });
    if (pool === null) {
      throw new DormouseError('POOL_UNKNOWN', `there is no pool ${registration.poolId}; make it first`, {
        poolId: registration.poolId,
      });
    }
    // There is no row yet to be locked: two registrations of one new id wait for each other here.
    await takeTurns(transaction, `register ${desktopKey(registration.id)}`);
    const loaded = await lockDesktop(manager, registration.id);
    if (loaded !== null) return registerAgain(transaction, loaded, registration);
    return registerNew(transaction, registration, pool);
  });
}

async function registerNew(
  transaction: LedgerTransaction,
  { id, poolId, launchSpec, actor, reason }: Registration,
  pool: LoadedDesktop['pool'],
): Promise<Registered> {
  const { manager, now } = transaction;
  const session = newSession(
    { desktopId: id, generation: await lastGeneration(transaction, id), requestedBy: actor },
    now.getTime(),
  );
  const row = Object.assign(new DesktopEntity(), {
    id,
    poolId,
    poolVersion: pool.version,
    hostId: await chooseHost(transaction),
    launchSpec,
    fingerprint: null,
    machineState: session.machine,
    stateSince: now,
    generation: session.generation,
    presence: session.presence,
    broker: null,
    absentSince: null,
    absenceCause: null,
    doubtSince: null,
    wokeAt: null,
    untouched: false,
    heldUntil: null,
    heldBy: null,
    holdReason: null,
    graceDeadline: null,
    checkpointId: null,
    diskGeneration: null,
    guestCondition: null,
    restoreFailures: 0,
    wakesInVain: 0,
    saveFailures: 0,
    lastError: null,
    createdAt: now,
    updatedAt: now,
  });
  await insertRow(manager, DesktopEntity, row);
  const loaded: LoadedDesktop = { row, operation: null, pool };
  const opened = {
    type: 'open_operation',
    kind: 'register',
    generation: session.generation,
    reason: reason ?? unsaid,
  } as const;
  await writeDecision(transaction, loaded, {
    outcome: 'applied',
    session,
    effects: [{ ...opened, requestedBy: actor, forced: false, awaited: false, goingBack: null }],
    explanation: 'the launch spec is to be examined',
  });
  await recordRegistration(transaction, loaded, { actor, action: 'desktop.register', reason });
  return registered(loaded, true);
}

async function registerAgain(
  transaction: LedgerTransaction,
  loaded: LoadedDesktop,
  { id, poolId, launchSpec, actor, reason }: Registration,
): Promise<Registered> {
  const { row } = loaded;
  const sameSpec = isDeepStrictEqual(row.launchSpec, JSON.parse(JSON.stringify(launchSpec)));
  if (sameSpec && row.poolId === poolId) return registered(loaded, false);
  if (row.machineState !== 'off') {
    throw new DormouseError('DESKTOP_BUSY', `the desktop is ${row.machineState}; it can be changed when it is off`, {
      desktopId: id,
    });
  }
  await updateRow(transaction.manager, DesktopEntity, row, { poolId, updatedAt: transaction.now });
  if (!sameSpec) {
    // The desktop keeps its good spec until the new one has been examined.
    const event = { type: 'request', kind: 'register', reason: reason ?? unsaid, requestedBy: actor } as const;
    await decideAndWrite(transaction, loaded, event, { input: { launchSpec } });
  }
  await recordRegistration(transaction, loaded, { actor, action: 'desktop.change', reason });
  return registered(loaded, false);
}

/** What comes of it is decided by the host: the operation tells. */
function recordRegistration(
  transaction: LedgerTransaction,
  { row, operation }: LoadedDesktop,
  entry: { actor: string; action: string; reason: string | undefined },
): Promise<void> {
  const details = operation === null ? {} : { operationId: operation.id };
  return recordAudit(transaction, { ...entry, target: row.id, outcome: 'accepted', details });
}

function registered({ row, operation }: LoadedDesktop, created: boolean): Registered {
  const examination = operation?.kind === 'register' ? asOperationView(operation) : null;
  return { desktop: asDesktopView(row, operation), operation: examination, created };
}

/** Generations go on where an earlier desktop of this id has ended: what is left of its work stays stale. */
async function lastGeneration({ manager }: LedgerTransaction, desktopId: string): Promise<number> {
  const [row]: { last: number | null }[] = await manager.query(
    'SELECT max(generation) AS last FROM operations WHERE desktop_id = $1',
    [desktopId],
  );
  return row?.last ?? 0;
}

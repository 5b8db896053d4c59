import { DesktopEntity, type HostEntity } from '@dormouse/persistence';
import { brokerActor, drainActor, mayBePresent, type Draining, type SessionEvent } from '@dormouse/session';
import { decideAndWrite } from './decide-and-write';
import { hostFenced } from './fence-host';
import { lockDesktop, type LoadedDesktop } from './loaded-desktop';
import { couldMove, withMachine } from './placing';
import type { LedgerTransaction } from './ledger-transaction';
import type { Transactions } from './transactions';

/** A desktop of a drained host that could not be saved is tried again after this long, and so often. */
const saveAgainAfterMs = 60_000;
const mostSaveFailures = 3;

export interface Drained {
  /** Desktops for which a save or a wake was opened, and those of a fenced host. */
  readonly moved: readonly string[];
  /** Desktops that are in use and stay, since no other host can take them, or since they cannot be saved. */
  readonly staying: readonly string[];
}

/**
 * Holds true: a desktop on a host that is being drained is being saved, or was; and one that was saved from under its user is being
 * woken, for which another host is found. On a fenced host no desktop is left with a machine.
 */
export async function drainHosts(transactions: Transactions): Promise<Drained> {
  const hosts = await transactions.run(({ manager }) =>
    manager.query<Pick<HostEntity, 'id' | 'intent'>[]>(
      `SELECT id, intent FROM hosts WHERE intent IN ('draining', 'fenced')`,
    ),
  );
  const staying: string[] = [];
  const moved: string[] = [];
  for (const { id, intent } of hosts) {
    if (intent === 'fenced') {
      moved.push(...(await hostFenced(transactions, id)));
      continue;
    }
    for (const desktopId of await desktopsToMove(transactions, id)) {
      const done = await transactions.run((transaction) => moveOn(transaction, desktopId, id));
      if (done === 'moved') moved.push(desktopId);
      if (done === 'stays') staying.push(desktopId);
    }
  }
  return { moved, staying };
}

async function moveOn(
  transaction: LedgerTransaction,
  desktopId: string,
  hostId: string,
): Promise<'moved' | 'stays' | 'nothing'> {
  const loaded = await lockDesktop(transaction.manager, desktopId);
  if (loaded === null || loaded.operation !== null || loaded.row.hostId !== hostId) return 'nothing';
  const { machineState, presence } = loaded.row;
  const reason = `the host ${hostId} is drained`;
  if (machineState === 'saved') {
    if (!mayBePresent(presence)) return 'nothing';
    return request(transaction, loaded, { type: 'request', kind: 'restore', reason, requestedBy: brokerActor });
  }
  const { stays, atMs } = await leavingOf(transaction, loaded);
  if (stays !== null || atMs > transaction.now.getTime()) return 'stays';
  return request(transaction, loaded, { type: 'request', kind: 'save', reason, requestedBy: drainActor, force: true });
}

async function request(
  transaction: LedgerTransaction,
  loaded: LoadedDesktop,
  event: SessionEvent,
): Promise<'moved' | 'nothing'> {
  const { outcome } = await decideAndWrite(transaction, loaded, event);
  return outcome === 'applied' ? 'moved' : 'nothing';
}

/**
 * When a desktop that runs leaves its draining host, or why it stays. A save that fails freezes the guest for a moment each time: its user
 * is not to pay for a drain that gets nowhere. And without another host its user would be without a desktop: better the host waits.
 */
export async function leavingOf(transaction: LedgerTransaction, loaded: LoadedDesktop): Promise<Draining> {
  const { saveFailures, stateSince, presence } = loaded.row;
  const atMs = saveFailures === 0 ? transaction.now.getTime() : stateSince.getTime() + saveAgainAfterMs;
  if (saveFailures >= mostSaveFailures) return { stays: 'its saves fail', atMs };
  const isUsed = mayBePresent(presence);
  return { stays: isUsed && !(await couldMove(transaction, loaded)) ? 'no other host' : null, atMs };
}

/** Those without an open operation that run there, and those that sleep although somebody is there. */
function desktopsToMove(transactions: Transactions, hostId: string): Promise<string[]> {
  return transactions.run(async ({ manager }) => {
    const rows = await manager
      .createQueryBuilder(DesktopEntity, 'd')
      .select(['d.id', 'd.presence', 'd.machineState'])
      .where(`d.hostId = :hostId AND (d.${withMachine} OR d.machine_state = 'saved')`, { hostId })
      .andWhere(
        `NOT EXISTS (SELECT 1 FROM operations o WHERE o.desktop_id = d.id AND o.status IN ('pending', 'active'))`,
      )
      .orderBy('d.id')
      .getMany();
    const asleep = ({ machineState, presence }: DesktopEntity): boolean =>
      machineState === 'saved' && !mayBePresent(presence);
    return rows.filter((row) => row.machineState !== 'quarantined' && !asleep(row)).map(({ id }) => id);
  });
}

import { DesktopEntity, OperationEntity } from '@dormouse/persistence';
import { place, type HostStanding, type OperationKind, type Placement, type PlacementWish } from '@dormouse/session';
import type { EntityManager } from 'typeorm';
import { hostSilenceMs, isHeard } from './as-view';
import { lockDesktop, type LoadedDesktop } from './loaded-desktop';
import { operationJob } from './outbox';
import { findCheckpointInUse } from './retention';
import { updateRow } from './rows';
import { takeTurns } from './take-turns';
import type { LedgerTransaction } from './ledger-transaction';
import type { Transactions } from './transactions';

/** Desktops that have a machine, or may have; an index knows them by just these words. */
export const withMachine = `machine_state NOT IN ('registering', 'off', 'saved', 'restore-blocked')`;

/** Operations that start a machine, and so may start it on another host than the last one. */
const startsMachine: readonly OperationKind[] = ['boot', 'restore'];

/** How many waiting operations are looked at in one turn: users first, then who waits longest. */
const mostAtOnce = 100;

interface HostRow {
  id: string;
  intent: string;
  seen_at: Date;
  capabilities: Readonly<Record<string, unknown>>;
  used_mib: number;
}

/** @param besides the memory of these desktops is not counted, wherever they are */
export async function standingsOfHosts(
  { manager, now }: LedgerTransaction,
  besides: readonly string[],
): Promise<HostStanding[]> {
  const rows: HostRow[] = await manager.query(
    `SELECT id, intent, seen_at, capabilities, coalesce(used.mib, 0)::int AS used_mib FROM hosts
     LEFT JOIN (SELECT host_id, sum(memory_mib) AS mib FROM desktops
       WHERE ${withMachine} AND id <> ALL ($1) GROUP BY host_id) AS used ON used.host_id = hosts.id
     ORDER BY id`,
    [besides],
  );
  return rows.map(({ id, intent, seen_at, capabilities, used_mib }) => ({
    id,
    alive: isHeard(seen_at, now),
    open: intent === 'open',
    memoryMiB: numberOrNull(capabilities['memoryMiB']),
    usedMiB: used_mib,
    qemuVersion: textOrNull(capabilities['qemuVersion']),
    accelerator: textOrNull(capabilities['accelerator']),
    storage: textOrNull(capabilities['storage']),
    disks: textOrNull(capabilities['disks']),
  }));
}

/**
 * Gives operations that start a machine their hosts, and their desktops with them, in the order given. While none fits, an operation
 * waits without a host and without a job, and its progress says for what; `placeWaiting` tries again. Those who place at the same
 * moment would all see the same room, so they take turns until they commit: to be called after all else that takes time.
 * @param opened with an operation each that was just opened, or still waits
 */
export async function placeOperations(transaction: LedgerTransaction, opened: readonly LoadedDesktop[]): Promise<void> {
  const { manager } = transaction;
  const toPlace = opened.filter(({ operation }) => operation !== null && startsMachine.includes(operation.kind));
  if (toPlace.length === 0) return;
  const wishes: PlacementWish[] = [];
  for (const loaded of toPlace) wishes.push(await wishOf(manager, loaded));
  await placeAlone(transaction);
  const ids = toPlace.map(({ row }) => row.id);
  let standings = await standingsOfHosts(transaction, ids);
  for (const [index, { row, operation }] of toPlace.entries()) {
    const wish = wishes[index]!;
    const placed = place(standings, wish);
    const { hostId } = placed;
    standings = standings.map((host) =>
      host.id === hostId ? { ...host, usedMiB: host.usedMiB + wish.memoryMiB } : host,
    );
    if (hostId !== null && hostId !== row.hostId) await updateRow(manager, DesktopEntity, row, { hostId });
    const { waitingFor: waited } = operation!.progress;
    const waitingFor = hostId === null ? whyNowhere(placed) : undefined;
    if (hostId === operation!.hostId && waited === waitingFor) continue;
    await updateRow(manager, OperationEntity, operation!, {
      hostId,
      progress: waitingFor === undefined ? withoutWaiting(operation!) : { ...operation!.progress, waitingFor },
    });
  }
}

/**
 * Looks for hosts for the operations that wait for one, and for those that nobody has taken on a host that has fallen silent: nothing
 * of them is there. @returns the desktops for which one was found
 */
export async function placeWaiting(transactions: Transactions): Promise<readonly string[]> {
  const waiting = await transactions.run(async ({ manager, now }) => {
    const rows: { desktop_id: string }[] = await manager.query(
      `SELECT desktop_id FROM operations LEFT JOIN hosts ON hosts.id = operations.host_id
       WHERE status = 'pending' AND worker_id IS NULL AND kind = ANY ($1)
         AND (operations.host_id IS NULL OR hosts.seen_at < $2)
       ORDER BY awaited DESC, created_at LIMIT $3`,
      [startsMachine, new Date(now.getTime() - hostSilenceMs), mostAtOnce],
    );
    return rows.map(({ desktop_id }) => desktop_id);
  });
  const placed: string[] = [];
  for (const desktopId of waiting) {
    const isPlaced = await transactions.run(async (transaction) => {
      const loaded = await lockDesktop(transaction.manager, desktopId);
      const operation = loaded?.operation;
      if (!loaded || !operation || operation.status !== 'pending' || operation.workerId !== null) return false;
      const before = operation.hostId;
      await placeOperations(transaction, [loaded]);
      if (operation.hostId === null || operation.hostId === before) return false;
      operationJob(transaction, operation, 'add');
      return true;
    });
    if (isPlaced) placed.push(desktopId);
  }
  return placed;
}

/** A host for a wake that these have tried in vain; null when there is none. */
export async function placeElsewhere(
  transaction: LedgerTransaction,
  loaded: LoadedDesktop,
  tried: readonly string[],
): Promise<string | null> {
  await placeAlone(transaction);
  const standings = await standingsOfHosts(transaction, [loaded.row.id]);
  const others = standings.map((host) => (tried.includes(host.id) ? { ...host, open: false } : host));
  return place(others, await wishOf(transaction.manager, loaded)).hostId;
}

async function placeAlone({ manager }: LedgerTransaction): Promise<void> {
  await takeTurns({ manager }, 'placing');
}

/** Whether a desktop that has a machine here could be woken on another host. */
export async function couldMove(transaction: LedgerTransaction, loaded: LoadedDesktop): Promise<boolean> {
  const others = (await standingsOfHosts(transaction, [])).map((host) =>
    host.id === loaded.row.hostId ? { ...host, open: false } : host,
  );
  const wish = await wishOf(transaction.manager, loaded);
  return place(others, { ...wish, hasCheckpoint: true, fingerprint: loaded.row.fingerprint }).hostId !== null;
}

async function wishOf(manager: EntityManager, loaded: LoadedDesktop): Promise<PlacementWish> {
  const { row, operation } = loaded;
  const checkpoint = operation?.kind === 'restore' ? await findCheckpointInUse(manager, loaded) : null;
  const hasLayers = row.diskGeneration !== null || (checkpoint?.diskGeneration ?? null) !== null;
  return {
    memoryMiB: numberOrNull(row.launchSpec['memoryMiB']) ?? 0,
    lastHostId: row.hostId,
    staysIfItCan: hasLayers || checkpoint !== null,
    hasLayers,
    hasCheckpoint: checkpoint !== null,
    fingerprint: (checkpoint?.facts['fingerprint'] ?? null) as PlacementWish['fingerprint'],
  };
}

function whyNowhere(placed: Extract<Placement, { hostId: null }>): string {
  const each = Object.entries(placed.reasons).map(([id, why]) => `${id} ${why}`);
  return each.length === 0 ? 'a host: none has ever announced itself' : `a host: ${each.join('; ')}`;
}

/** The progress of an operation that waits no longer. */
export function withoutWaiting({ progress }: OperationEntity): OperationEntity['progress'] {
  const { waitingFor: _, ...rest } = progress;
  return rest;
}

function numberOrNull(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

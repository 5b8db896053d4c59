import { DormouseError } from '@dormouse/errors';
import { HostEntity } from '@dormouse/persistence';
import type { MachineState } from '@dormouse/session';
import { isIdentifier } from '@dormouse/text';
import { MoreThan, type EntityManager } from 'typeorm';
import type { HostIntent, HostView } from '@dormouse/views';
import { asHostView, hostSilenceMs, isHeard } from './as-view';
import type { HostAnnouncement } from './commands';
import { refuseHost, standingOf, type HostProof } from './host-claims';
import { withMachine } from './placing';
import { updateRow } from './rows';
import type { LedgerTransaction } from './ledger-transaction';
import type { Transactions } from './transactions';

/**
 * `started_at` says since when the host has been heard from without a break.
 * @returns what operators want of the host
 * @throws HOST_ID_TAKEN when the name is another machine's
 */
export function announceHost(
  transactions: Transactions,
  { id, capabilities, troubles = [] }: HostAnnouncement,
  proof: HostProof | null,
): Promise<HostIntent> {
  if (!isIdentifier(id)) {
    throw new DormouseError('REQUEST_INVALID', `the host id ${id} may hold a-z, 0-9 and - only (set HOST_ID)`, { id });
  }
  return transactions.run(async ({ manager, now }) => {
    const claim = proof && { ...proof };
    const inserted: unknown[] = await manager.query(
      `INSERT INTO hosts (id, capabilities, started_at, seen_at, claim, troubles) VALUES ($1, $2, $3, $3, $4, $5)
       ON CONFLICT (id) DO NOTHING RETURNING 1`,
      [id, JSON.stringify(capabilities), now, claim && JSON.stringify(claim), JSON.stringify(troubles)],
    );
    if (inserted.length > 0) return 'open';
    const row = await manager.findOneOrFail(HostEntity, { where: { id }, lock: { mode: 'pessimistic_write' } });
    const heard = isHeard(row.seenAt, now);
    if (proof !== null) {
      const onRecord = {
        claim: row.claim as HostProof | null,
        fencedClaim: row.fencedClaim as HostProof | null,
        heard,
        inUse: row.claim !== null && (await isInUse(manager, id)),
      };
      const standing = standingOf(proof, onRecord);
      if (standing === 'fenced') return 'fenced';
      if (standing === 'waits' || standing === 'refused') refuseHost(id, onRecord, row.seenAt, standing);
    }
    const told = troubles.map((trouble) => ({ ...trouble }));
    const changes = {
      capabilities,
      troubles: told,
      seenAt: now,
      ...(!heard && { startedAt: now }),
      ...(claim && { claim }),
    };
    await updateRow(manager, HostEntity, row, changes);
    return row.intent;
  });
}

async function isInUse(manager: EntityManager, id: string): Promise<boolean> {
  const rows: unknown[] = await manager.query(
    `(SELECT FROM desktops WHERE host_id = $1 AND ${withMachine} LIMIT 1)
     UNION ALL (SELECT FROM operations WHERE host_id = $1 AND status = 'active' LIMIT 1)`,
    [id],
  );
  return rows.length > 0;
}

export function listHosts(transactions: Transactions): Promise<readonly HostView[]> {
  return transactions.run(async ({ manager, now }) => {
    const rows = await manager.find(HostEntity, { order: { id: 'ASC' } });
    const machines = await machinesByHost(manager);
    return rows.map((row) => asHostView(row, machines.get(row.id) ?? noMachines, now));
  });
}

/** @throws HOST_UNKNOWN */
export async function viewHost({ manager, now }: LedgerTransaction, id: string): Promise<HostView> {
  const row = (await manager.findOneBy(HostEntity, { id })) ?? unknownHost(id);
  return asHostView(row, (await machinesByHost(manager)).get(id) ?? noMachines, now);
}

export function unknownHost(id: string): never {
  throw new DormouseError('HOST_UNKNOWN', `no host ${id} has ever announced itself; see \`dormouse host list\``, {
    id,
  });
}

/** Where a new desktop is examined, and first at home: the open host with the fewest. @throws HOST_UNAVAILABLE */
export async function chooseHost({ manager, now }: LedgerTransaction): Promise<string> {
  const hosts = await manager.find(HostEntity, {
    where: { seenAt: MoreThan(silentSince(now)), intent: 'open' },
    order: { seenAt: 'DESC' },
  });
  if (hosts.length === 0) {
    throw new DormouseError(
      'HOST_UNAVAILABLE',
      'no worker of a host that takes machines has announced itself lately; start one, or uncordon one, and try again',
    );
  }
  if (hosts.length === 1) return hosts[0]!.id;
  const rows: { host_id: string; desktops: number }[] = await manager.query(
    'SELECT host_id, count(*)::int AS desktops FROM desktops WHERE host_id = ANY ($1) GROUP BY 1',
    [hosts.map(({ id }) => id)],
  );
  const desktops = new Map(rows.map((row) => [row.host_id, row.desktops]));
  const load = (id: string): number => desktops.get(id) ?? 0;
  return hosts.reduce((one, other) => (load(other.id) < load(one.id) ? other : one)).id;
}

/** Desktops without an open operation that have a machine on this host, or may have. */
export function desktopsWithMachine(
  manager: EntityManager,
  hostId: string,
): Promise<{ id: string; state: MachineState }[]> {
  return manager.query(
    `SELECT id, machine_state AS state FROM desktops WHERE host_id = $1 AND ${withMachine}
       AND NOT EXISTS (SELECT 1 FROM operations
         WHERE desktop_id = desktops.id AND status IN ('pending', 'active'))
     ORDER BY id`,
    [hostId],
  );
}

export interface MachinesOfHost {
  readonly machines: number;
  readonly usedMiB: number;
}

const noMachines: MachinesOfHost = { machines: 0, usedMiB: 0 };

async function machinesByHost(manager: EntityManager): Promise<Map<string, MachinesOfHost>> {
  const rows: { host_id: string; machines: number; used_mib: number }[] = await manager.query(
    `SELECT host_id, count(*)::int AS machines, coalesce(sum(memory_mib), 0)::int AS used_mib FROM desktops
     WHERE ${withMachine} GROUP BY 1`,
  );
  return new Map(rows.map(({ host_id, machines, used_mib }) => [host_id, { machines, usedMiB: used_mib }]));
}

function silentSince(now: Date): Date {
  return new Date(now.getTime() - hostSilenceMs);
}

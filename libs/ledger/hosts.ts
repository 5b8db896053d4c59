import { DormouseError } from '@dormouse/errors';
import { HostEntity } from '@dormouse/persistence';
import { isIdentifier } from '@dormouse/session';
import { MoreThan } from 'typeorm';
import { asHostView, hostSilenceMs } from './as-view';
import type { HostAnnouncement } from './commands';
import type { LedgerTransaction, Transactions } from './transactions';
import type { HostView } from './views';

/** `started_at` says since when the host has been heard from without a break. */
export function announceHost(transactions: Transactions, { id, capabilities }: HostAnnouncement): Promise<void> {
  if (!isIdentifier(id)) {
    throw new DormouseError('REQUEST_INVALID', `the host id ${id} may hold a-z, 0-9 and - only (set HOST_ID)`, { id });
  }
  return transactions.run(async ({ manager, now }) => {
    await manager.query(
      `INSERT INTO hosts (id, capabilities, started_at, seen_at) VALUES ($1, $2, $3, $3)
       ON CONFLICT (id) DO UPDATE SET capabilities = excluded.capabilities, seen_at = excluded.seen_at,
         started_at = CASE WHEN hosts.seen_at > $4 THEN hosts.started_at ELSE excluded.started_at END`,
      [id, JSON.stringify(capabilities), now, silentSince(now)],
    );
  });
}

export function listHosts(transactions: Transactions): Promise<readonly HostView[]> {
  return transactions.run(async ({ manager, now }) => {
    const rows = await manager.find(HostEntity, { order: { id: 'ASC' } });
    return rows.map((row) => asHostView(row, now));
  });
}

/** @throws HOST_UNAVAILABLE */
export async function chooseHost({ manager, now }: LedgerTransaction): Promise<string> {
  const host = await manager.findOne(HostEntity, {
    where: { seenAt: MoreThan(silentSince(now)) },
    order: { seenAt: 'DESC' },
  });
  if (host === null) {
    throw new DormouseError('HOST_UNAVAILABLE', 'no worker has announced itself lately; start one and try again');
  }
  return host.id;
}

function silentSince(now: Date): Date {
  return new Date(now.getTime() - hostSilenceMs);
}

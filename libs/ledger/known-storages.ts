import { HostEntity } from '@dormouse/persistence';
import { isHeard } from './as-view';
import { withMachine } from './placing';
import type { Transactions } from './transactions';

/** What tells a storage that is in use from one that only has its name. */
export interface KnownStorages {
  /** What other hosts announce that are there, or have machines that are to be saved. */
  readonly others: readonly { readonly hostId: string; readonly storage: string }[];
  /** A few of the newest checkpoints that are to be found in it. */
  readonly newest: readonly { readonly desktopId: string; readonly checkpointId: string }[];
}

const fewCheckpoints = 3;

export function knownStorages(transactions: Transactions, hostId: string): Promise<KnownStorages> {
  return transactions.run(async ({ manager, now }) => {
    const rows: { id: string }[] = await manager.query(
      `SELECT DISTINCT host_id AS id FROM desktops WHERE ${withMachine}`,
    );
    const used = new Set(rows.map(({ id }) => id));
    const hosts = await manager.find(HostEntity, { order: { id: 'ASC' } });
    const others = hosts.flatMap(({ id, intent, seenAt, capabilities: { storage } }) => {
      const isGone = intent === 'fenced' || !(isHeard(seenAt, now) || used.has(id));
      return id === hostId || isGone || typeof storage !== 'string' ? [] : [{ hostId: id, storage }];
    });
    const newest: KnownStorages['newest'] = await manager.query(
      `SELECT desktop_id AS "desktopId", id AS "checkpointId" FROM checkpoints WHERE state = 'durable'
       ORDER BY durable_at DESC LIMIT $1`,
      [fewCheckpoints],
    );
    return { others, newest };
  });
}

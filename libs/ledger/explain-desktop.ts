import { HostEntity, type OperationEntity } from '@dormouse/persistence';
import { explain, machineStates, type Circumstances, type Draining } from '@dormouse/session';
import type { ExplanationView } from '@dormouse/views';
import { conditionOf, hostSilenceMs } from './as-view';
import { leavingOf } from './drain-host';
import { rungsFor } from './ladder';
import { readDesktop, sessionOf, type LoadedDesktop } from './loaded-desktop';
import type { LedgerTransaction } from './ledger-transaction';
import type { Transactions } from './transactions';

/** Looks, and changes nothing. @throws DESKTOP_UNKNOWN */
export function explainDesktop(transactions: Transactions, desktopId: string): Promise<ExplanationView> {
  return transactions.run(async (transaction) => {
    const { manager, now } = transaction;
    const loaded = await readDesktop(manager, desktopId);
    const { hostId } = loaded.row;
    const host = hostId === null ? null : await manager.findOneBy(HostEntity, { id: hostId });
    const seenMs = host?.seenAt.getTime() ?? 0;
    const { next, doubts, choices, ...explained } = explain(sessionOf(loaded), loaded.pool, {
      reason: loaded.operation?.reason ?? null,
      waitingFor: waitingForOf(loaded.operation),
      hostId,
      hostSilentSinceMs: host === null || now.getTime() - seenMs < hostSilenceMs ? null : seenMs,
      draining: await drainingOf(transaction, loaded, host),
      condition: conditionOf(loaded.row),
      rungs: await rungsFor({ manager }, loaded),
      waitingForStorage: textOrNull(loaded.operation?.progress['waitingForStorage']),
    });
    return {
      desktopId,
      sentence: explained.sentence,
      state: explained.state,
      stateSince: iso(explained.stateSinceMs)!,
      presence: {
        occupancy: explained.occupancy,
        connections: explained.connections,
        since: iso(explained.occupancySinceMs),
        cause: explained.absenceCause,
        doubt: doubts[0] ?? null,
        doubts,
      },
      next: { what: next.what, when: next.when, at: iso(next.atMs) },
      hindrances: explained.hindrances,
      consents: choices.map(({ rung: { to, checkpointId, asOfMs }, sentence }) => {
        return { to, checkpointId, asOf: iso(asOfMs), sentence };
      }),
    };
  });
}

/** Only a desktop that runs, and that nothing is done with yet, waits for the drain. */
async function drainingOf(
  transaction: LedgerTransaction,
  loaded: LoadedDesktop,
  host: HostEntity | null,
): Promise<Draining | null> {
  if (host?.intent !== 'draining' || loaded.operation !== null) return null;
  if (machineStates[loaded.row.machineState].machine !== 'live') return null;
  return leavingOf(transaction, loaded);
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function waitingForOf(operation: OperationEntity | null): Circumstances['waitingFor'] {
  const inWords = operation?.progress.waitingFor;
  if (operation?.status !== 'pending' || typeof inWords !== 'string') return null;
  return { what: operation.waitsForPool === null ? 'host' : 'pool', inWords };
}

function iso(epochMs: number | null): string | null {
  return epochMs === null ? null : new Date(epochMs).toISOString();
}

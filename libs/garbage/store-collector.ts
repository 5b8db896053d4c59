import { collectObjects } from '@dormouse/checkpoint';
import { describeError, isDormouseError } from '@dormouse/errors';
import type { BlobStore } from '@dormouse/storage';
import { desktopOfSafeName } from '@dormouse/text';
import type { GarbageLedger } from './garbage-ledger';
import { standingsOf } from './standings';

export interface StoreCollectorOptions {
  readonly store: BlobStore;
  readonly ledger: GarbageLedger;
  /** How long what nobody needs any more stays. */
  readonly graceMs: number;
  /** Milliseconds since the epoch. Left out: by the ledger's clock, since what is condemned is dated by it. */
  readonly now?: () => number;
  readonly dryRun?: boolean;
  readonly signal?: AbortSignal;
}

/** A desktop of which nothing was removed, and why. */
export interface Failure {
  readonly desktopId: string;
  readonly code: string;
  readonly message: string;
}

export interface StoreReport {
  readonly desktops: number;
  readonly removedObjects: number;
  readonly removedBytes: number;
  /** Their grace is not over. */
  readonly waitingObjects: number;
  /** Of checkpoints this database has never heard of; they stay. */
  readonly unknownObjects: number;
  readonly failures: readonly Failure[];
}

export type Progress = (desktopId: string, done: number, total: number) => void;

/** The storage of all hosts. Several collectors may be at it at once. */
export class StoreCollector {
  constructor(private readonly options: StoreCollectorOptions) {}

  /** Desktops with checkpoints whose grace has ended since they were last looked at. */
  async collectChanged(): Promise<StoreReport> {
    const { ledger } = this.options;
    return this.collect(await ledger.desktopsWithCondemned(new Date(await this.unneededBeforeMs())));
  }

  /** Every desktop of which anything is stored: finds what the ledger's rows do not tell of. */
  async collectAll(onProgress?: Progress): Promise<StoreReport> {
    const { store, ledger } = this.options;
    const desktops = new Set(await ledger.desktopsWithCondemned(new Date(await this.unneededBeforeMs())));
    for await (const { key } of store.list('desktops/')) {
      const name = key.split('/')[1]!;
      desktops.add(desktopOfSafeName(name) ?? name);
    }
    return this.collect([...desktops].sort(), onProgress);
  }

  /** One that cannot be collected does not keep the others from it. @throws CANCELLED */
  async collect(desktopIds: readonly string[], onProgress?: Progress): Promise<StoreReport> {
    const total = { desktops: 0, removedObjects: 0, removedBytes: 0, waitingObjects: 0, unknownObjects: 0 };
    const failures: Failure[] = [];
    for (const [n, desktopId] of desktopIds.entries()) {
      onProgress?.(desktopId, n, desktopIds.length);
      total.desktops++;
      try {
        const found = await this.collectDesktop(desktopId);
        total.removedObjects += found.removedObjects;
        total.removedBytes += found.removedBytes;
        total.waitingObjects += found.waitingObjects;
        total.unknownObjects += found.unknownObjects;
      } catch (error) {
        if (isDormouseError(error, 'CANCELLED')) throw error;
        const { code, message } = describeError(error);
        failures.push({ desktopId, code, message });
      }
    }
    return { ...total, failures };
  }

  private async collectDesktop(desktopId: string) {
    const { store, ledger, dryRun = false, signal } = this.options;
    const unneededBeforeMs = await this.unneededBeforeMs();
    const condemned = new Set<string>();
    const report = await collectObjects(store, desktopId, {
      unneededBeforeMs,
      dryRun,
      ...(signal && { signal }),
      standings: async (found) => {
        const holdings = await ledger.desktopHoldings(desktopId, found);
        for (const { id, state } of holdings.checkpoints) if (state === 'condemned') condemned.add(id);
        return standingsOf(holdings, unneededBeforeMs);
      },
    });
    if (!dryRun) {
      for (const id of report.collected) if (condemned.has(id)) await ledger.markCheckpointDeleted(id);
    }
    return report;
  }

  private async unneededBeforeMs(): Promise<number> {
    const { graceMs, ledger, now } = this.options;
    return (now?.() ?? (await ledger.now()).getTime()) - graceMs;
  }
}

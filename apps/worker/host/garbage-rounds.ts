import type { LayerCollector, LayerReport, StoreCollector, StoreReport } from '@dormouse/garbage';
import { isDormouseError } from '@dormouse/errors';
import { Sweep } from '@dormouse/jobs';
import type { OnlyOne } from '@dormouse/ledger';
import type { Logger } from '@dormouse/observability';

/** Everything is looked at this often; in between, only what has changed: a thousand sleeping desktops cost nothing. */
const fullRoundEveryMs = 60 * 60_000;
const longestWaitMs = 60_000;
const shortestWaitMs = 1_000;

export interface GarbageRoundsOptions {
  readonly objects: StoreCollector;
  readonly layers: LayerCollector;
  /** Who collects the storage, of all workers. */
  readonly duty: OnlyOne;
  /** Who collects and merges the layers of this host, of its workers. */
  readonly hostDuty: OnlyOne;
  readonly graceMs: number;
  /** Ends what the collectors are at. */
  readonly stopping: AbortController;
  readonly logger: Logger;
}

/** Has what nobody needs any more removed, and layers merged: this host's, and if it is our duty those of the storage. */
export class GarbageRounds {
  private readonly sweep: Sweep;
  /** Desktops of this host whose layers are to be looked at. */
  private readonly changed = new Set<string>();
  private readonly fullRoundMs = { objects: -Infinity, layers: -Infinity };

  constructor(private readonly options: GarbageRoundsOptions) {
    const everyMs = Math.min(Math.max(options.graceMs / 10, shortestWaitMs), longestWaitMs);
    this.sweep = new Sweep({ name: 'collection of garbage', everyMs, work: () => this.round(), log: options.logger });
  }

  start(): void {
    this.sweep.start();
  }

  /** An operation on the desktop has ended. */
  want(desktopId: string): void {
    this.changed.add(desktopId);
  }

  async stop(): Promise<void> {
    this.options.stopping.abort();
    await this.sweep.stop();
    await this.options.duty.leave();
    await this.options.hostDuty.leave();
  }

  private async round(): Promise<void> {
    try {
      if (await this.options.hostDuty.isOurs()) await this.collectLayers();
      else this.changed.clear(); // the full round of the worker that has the duty finds them
      if (await this.options.duty.isOurs()) await this.collectObjects();
    } catch (error) {
      if (!isDormouseError(error, 'CANCELLED')) throw error;
    }
  }

  private async collectObjects(): Promise<void> {
    const { objects, logger } = this.options;
    const report = await this.fullOrNot('objects', {
      full: () => objects.collectAll(),
      part: () => objects.collectChanged(),
    });
    this.tellFailures(report, 'objects in the storage');
    const { removedObjects, removedBytes, unknownObjects, desktops } = report;
    if (removedObjects > 0) {
      logger.info({ removedObjects, removedBytes, desktops }, 'removed objects that no checkpoint needs');
    }
    if (unknownObjects > 0) {
      logger.warn({ unknownObjects }, 'the storage has checkpoints that this database has never heard of; they stay');
    }
  }

  private async collectLayers(): Promise<void> {
    const { layers, logger } = this.options;
    const changed = [...this.changed];
    this.changed.clear();
    const report = await this.fullOrNot('layers', {
      full: () => layers.collectAll(true),
      part: () => layers.collect(changed, true),
    }).catch((error: unknown) => {
      for (const desktopId of changed) this.changed.add(desktopId);
      throw error;
    });
    for (const desktopId of report.pending) this.changed.add(desktopId);
    for (const { desktopId } of report.failures) this.changed.add(desktopId);
    this.tellFailures(report, 'disk layers');
    const { removedLayers, removedBytes, mergedLayers, forgotten } = report;
    if (removedLayers > 0 || mergedLayers > 0 || forgotten.length > 0) {
      logger.info({ removedLayers, removedBytes, mergedLayers, forgotten }, 'disk layers were removed or merged');
    }
  }

  private async fullOrNot<T>(
    what: keyof typeof this.fullRoundMs,
    { full, part }: { full: () => Promise<T>; part: () => Promise<T> },
  ): Promise<T> {
    const nowMs = performance.now();
    if (nowMs - this.fullRoundMs[what] < fullRoundEveryMs) return part();
    const report = await full();
    this.fullRoundMs[what] = nowMs;
    return report;
  }

  private tellFailures({ failures }: Pick<StoreReport | LayerReport, 'failures'>, what: string): void {
    for (const { desktopId, code, message } of failures) {
      this.options.logger.error({ desktopId, code }, `${what} that ${desktopId} no longer needs stay: ${message}`);
    }
  }
}

import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readMarks, type CheckpointStanding } from '@dormouse/checkpoint';
import { describeError, isDormouseError } from '@dormouse/errors';
import { fileSystemTime } from '@dormouse/files';
import { mergeLayers, planLayers, surveyLayers, type LayerPlan, type LayerSurvey } from '@dormouse/hypervisor';
import type { DesktopHoldings } from '@dormouse/ledger';
import { desktopOfSafeName, safeName } from '@dormouse/text';
import type { BlobStore } from '@dormouse/storage';
import type { GarbageLedger } from './garbage-ledger';
import { standingsOf } from './standings';
import type { Failure, Progress } from './store-collector';

export interface LayerCollectorOptions {
  readonly hostId: string;
  /** Layers, one directory for each desktop; desktops of other hosts may have theirs beside. */
  readonly disksDir: string;
  readonly runRoot: string;
  readonly qemuImg: string;
  readonly store: BlobStore;
  readonly ledger: GarbageLedger;
  readonly graceMs: number;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  /** Removes all that the host keeps of a desktop. */
  readonly forget: (desktopId: string) => Promise<void>;
  readonly dryRun?: boolean;
  readonly signal?: AbortSignal;
}

export interface LayerReport {
  readonly removedLayers: number;
  readonly removedBytes: number;
  /** Layers that became part of others. */
  readonly mergedLayers: number;
  /** Desktops that were deleted and whose directories went. */
  readonly forgotten: readonly string[];
  /** Desktops of this host of which something will be to be removed or merged that is not yet. */
  readonly pending: readonly string[];
  readonly failures: readonly Failure[];
}

interface Examined {
  readonly survey: LayerSurvey;
  readonly plan: LayerPlan;
  /** An operation is at its machine. */
  readonly isBusy: boolean;
  /** A checkpoint is in its grace: what it needs will be over. */
  readonly isLeaving: boolean;
}

/** Whoever is still writing a file has touched it within this time. */
const unfinishedPatienceMs = 60_000;

/** The disk layers of one host's desktops. */
export class LayerCollector {
  constructor(private readonly options: LayerCollectorOptions) {}

  /** Every desktop of the host, and what deleted ones have left. */
  async collectAll(merging: boolean, onProgress?: Progress): Promise<LayerReport> {
    const { disksDir, runRoot } = this.options;
    const withLayers = await desktopsIn(disksDir);
    const forgotten = await this.forgetDeleted([...new Set([...withLayers, ...(await desktopsIn(runRoot))])]);
    const left = withLayers.filter((id) => !forgotten.includes(id));
    return { ...(await this.collect(left, merging, onProgress)), forgotten };
  }

  /**
   * Removes what is over and, if `merging`, merges what is worth it: to be asked for by one process of a host only.
   * @throws CANCELLED
   */
  async collect(desktopIds: readonly string[], merging: boolean, onProgress?: Progress): Promise<LayerReport> {
    const total = { removedLayers: 0, removedBytes: 0, mergedLayers: 0 };
    const pending: string[] = [];
    const failures: Failure[] = [];
    for (const [n, desktopId] of desktopIds.entries()) {
      onProgress?.(desktopId, n, desktopIds.length);
      try {
        const merged = merging ? await this.merge(desktopId) : 0;
        const found = await this.removeUnneeded(desktopId);
        total.mergedLayers += merged;
        total.removedLayers += found.removedLayers;
        total.removedBytes += found.removedBytes;
        if (found.isPending) pending.push(desktopId);
      } catch (error) {
        if (isDormouseError(error, 'CANCELLED')) throw error;
        const { code, message } = describeError(error);
        failures.push({ desktopId, code, message });
      }
    }
    return { ...total, forgotten: [], pending, failures };
  }

  /** A desktop's layers are only looked at by the host it lives on. */
  private async examine(desktopId: string): Promise<Examined | null> {
    const { ledger, store, hostId, graceMs } = this.options;
    // First the files, then what is needed: a layer that is made or needed only now is not among the files.
    const survey = await surveyLayers(this.directory(desktopId));
    const filesNowMs = this.options.now?.() ?? (await fileSystemTime(this.options.disksDir));
    const unneededBeforeMs = (await this.now()) - graceMs;
    let holdings = await ledger.desktopHoldings(desktopId);
    if (holdings.desktop?.hostId !== hostId) return null;
    const { checkpoints, marks } = await readMarks(store, desktopId, async () => {
      holdings = await ledger.desktopHoldings(desktopId);
      return standingsOf(holdings, unneededBeforeMs);
    });
    const held = new Set([...marks.diskGenerations, ...generationsOf(holdings, checkpoints)]);
    const plan = planLayers(survey, held, {
      unneededBeforeMs: filesNowMs - graceMs,
      abandonedBeforeMs: filesNowMs - Math.max(graceMs, unfinishedPatienceMs),
    });
    const isLeaving = checkpoints.some(({ standing }) => standing === 'leaving');
    return { survey, plan, isBusy: typeof holdings.desktop?.openOperationId === 'string', isLeaving };
  }

  /** One run after the other, while nobody is at the desktop's machine. @returns how many layers became part of others */
  private async merge(desktopId: string): Promise<number> {
    const { qemuImg, dryRun = false, signal } = this.options;
    let merged = 0;
    for (;;) {
      const examined = await this.examine(desktopId);
      const [run] = examined?.plan.merges ?? [];
      if (run === undefined || examined?.isBusy !== false || dryRun) return merged;
      await mergeLayers(this.directory(desktopId), run, { qemuImg, ...(signal && { signal }) });
      merged += run.length - 1;
    }
  }

  private async removeUnneeded(desktopId: string) {
    const { ledger, dryRun = false } = this.options;
    const rows = await ledger.diskGenerations(desktopId);
    const examined = await this.examine(desktopId);
    if (examined === null) return { removedLayers: 0, removedBytes: 0, isPending: false };
    const { survey, plan, isBusy, isLeaving } = examined;
    if (!dryRun) {
      for (const { file } of plan.remove) await rm(join(this.directory(desktopId), file), { force: true });
      const removed = new Set(plan.remove.map(({ file }) => file));
      const left = new Set(survey.layers.filter(({ file }) => !removed.has(file)).map(({ generation }) => generation));
      await ledger.forgetDiskGenerations(
        desktopId,
        rows.filter((generation) => !left.has(generation)),
      );
    }
    return {
      removedLayers: plan.remove.length,
      removedBytes: plan.remove.reduce((sum, { bytes }) => sum + bytes, 0),
      isPending: plan.waiting.length > 0 || isLeaving || (isBusy && plan.merges.length > 0),
    };
  }

  private async forgetDeleted(desktopIds: readonly string[]): Promise<readonly string[]> {
    const { ledger, hostId, graceMs, forget, dryRun = false } = this.options;
    const deleted = await ledger.deletedDesktops(hostId, desktopIds, new Date((await this.now()) - graceMs));
    if (!dryRun) for (const desktopId of deleted) await forget(desktopId);
    return deleted;
  }

  /** By the clock that the ledger's rows are dated by. */
  private async now(): Promise<number> {
    return this.options.now?.() ?? (await this.options.ledger.now()).getTime();
  }

  private directory(desktopId: string): string {
    return join(this.options.disksDir, safeName(desktopId));
  }
}

/** Of the layer that is written to, of those that an operation may be making or may have left, and of those that checkpoints were sealed with. */
function generationsOf({ desktop, checkpoints }: DesktopHoldings, standings: readonly CheckpointStanding[]): string[] {
  const gone = new Set(standings.filter(({ standing }) => standing === 'gone').map(({ id }) => id));
  const generations = [
    desktop?.diskGeneration,
    desktop?.openOperationId,
    ...(desktop?.layersLeft ?? []),
    ...checkpoints.filter(({ id }) => !gone.has(id)).map(({ diskGeneration }) => diskGeneration),
  ];
  return generations.filter((generation) => typeof generation === 'string');
}

async function desktopsIn(directory: string): Promise<string[]> {
  try {
    const names = await readdir(directory);
    return names
      .map(desktopOfSafeName)
      .filter((id) => id !== null)
      .sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

import { join } from 'node:path';
import type { DormouseConfig } from '@dormouse/config';
import { LayerCollector, StoreCollector, type LayerReport, type StoreReport } from '@dormouse/garbage';
import { QemuHypervisor } from '@dormouse/hypervisor';
import { SessionLedger } from '@dormouse/ledger';
import type { BlobStore } from '@dormouse/storage';
import { withDatabase } from './host-database';

export interface Collected {
  readonly dryRun: boolean;
  /** How long what nobody needs any more stays. */
  readonly graceS: number;
  readonly storage: StoreReport;
  /** Of this host's desktops. */
  readonly layers: LayerReport;
}

export interface CollectOptions {
  /** Null: all of them. */
  readonly desktopId: string | null;
  readonly dryRun: boolean;
  readonly onProgress: (what: string, done: number, total: number) => void;
}

/**
 * Does what the worker of this host does in a full round, but for the merging of layers: only one process of a host may merge.
 * Safe beside workers and beside others of its kind.
 * @throws SERVICE_UNAVAILABLE
 */
export function collectGarbage(
  config: DormouseConfig,
  store: BlobStore,
  { desktopId, dryRun, onProgress }: CollectOptions,
): Promise<Collected> {
  return withDatabase(config, async (dataSource) => {
    const { garbageGraceMs: graceMs, hostId, disksDir, dataDir, storageUrl } = config;
    const common = { store, ledger: new SessionLedger(dataSource), graceMs, dryRun };
    const runRoot = join(dataDir, 'run');
    const hypervisor = new QemuHypervisor({
      qemu: config.qemuBinary,
      qemuImg: 'qemu-img',
      accelerator: config.accelerator,
      runRoot,
      diskRoot: disksDir,
      storageUrl,
      pagerProgram: '', // no pager is started here
      machinesInWaiting: 0,
    });
    const objects = new StoreCollector(common);
    const layers = new LayerCollector({
      ...common,
      hostId,
      disksDir,
      runRoot,
      qemuImg: 'qemu-img',
      forget: (id) => hypervisor.forget(id),
    });
    const told =
      (what: string) =>
      (id: string, done: number, total: number): void =>
        onProgress(`${what} ${id}`, done, total);
    const only = desktopId === null ? null : [desktopId];
    return {
      dryRun,
      graceS: graceMs / 1000,
      layers: await (only ? layers.collect(only, false) : layers.collectAll(false, told('layers of'))),
      storage: await (only ? objects.collect(only) : objects.collectAll(told('objects of'))),
    };
  });
}

import type { QmpClient } from './qmp-client';

/** Of `query-blockstats` (QAPI BlockDeviceStats): what changes a disk. */
const changes = ['wr_operations', 'unmap_operations'] as const;

interface BlockStats {
  readonly stats?: Partial<Readonly<Record<(typeof changes)[number], unknown>>>;
}

/** Whether the machine has written to any of its disks since it was started. A disk that does not say so counts as written to. */
export async function hasWritten(qmp: QmpClient): Promise<boolean> {
  const disks = await qmp.execute<readonly BlockStats[]>('query-blockstats');
  return disks.some(({ stats }) => changes.some((change) => stats?.[change] !== 0));
}

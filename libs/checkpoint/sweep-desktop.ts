import type { BlobStore } from '@dormouse/storage';
import { readManifest } from './checkpoint-reader';
import { desktopPrefix, objectKeys } from './object-keys';

/** What the ledger says of a desktop's checkpoints. */
export interface WantedCheckpoints {
  /** Whole, and to stay. */
  readonly kept: readonly string[];
  /** Being written: their objects have no manifest yet. */
  readonly writing: readonly string[];
}

export interface SweepReport {
  readonly removedObjects: number;
  readonly removedBytes: number;
}

/**
 * Removes every object of a desktop that no wanted checkpoint needs: overtaken checkpoints, packs that only those named,
 * and what failed or killed saves have left. Safe to be killed at any point and repeated, and beside a save that runs.
 * @param wanted asked after the store was listed: a save enters its checkpoint in the ledger before it writes the first
 * object, so whatever of it was listed is known to be wanted
 * @throws what reading a kept manifest fails with; then nothing was removed
 */
export async function sweepDesktop(
  store: BlobStore,
  desktopId: string,
  wanted: () => Promise<WantedCheckpoints>,
): Promise<SweepReport> {
  const listed: { key: string; bytes: number }[] = [];
  for await (const object of store.list(desktopPrefix(desktopId))) listed.push(object);
  const { kept, writing } = await wanted();
  const named = new Set<string>();
  for (const checkpointId of kept) {
    const own = objectKeys(desktopId, checkpointId);
    const { packs } = await readManifest(store, { desktopId, checkpointId }, null);
    for (const key of [own.manifest, own.pageMap, own.knownPages, own.wakePack]) named.add(key);
    for (const pack of packs) named.add(objectKeys(desktopId, pack.checkpointId).pack(pack.number));
  }
  const busy = writing.map((checkpointId) => objectKeys(desktopId, checkpointId).prefix);
  const doomed = listed.filter(({ key }) => !named.has(key) && !busy.some((prefix) => key.startsWith(prefix)));
  // Manifests first: killed half way, what is left is not a checkpoint any more.
  const isManifest = ({ key }: { key: string }): boolean => key.endsWith('/manifest');
  for (const { key } of [...doomed.filter(isManifest), ...doomed.filter((one) => !isManifest(one))]) {
    await store.delete(key);
  }
  return { removedObjects: doomed.length, removedBytes: doomed.reduce((sum, { bytes }) => sum + bytes, 0) };
}

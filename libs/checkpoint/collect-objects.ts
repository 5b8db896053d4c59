import { DormouseError } from '@dormouse/errors';
import type { BlobInfo, BlobStore } from '@dormouse/storage';
import { readMarks, type CheckpointStanding } from './marks';
import { desktopPrefix } from './object-keys';

export interface CollectOptions {
  /**
   * What the ledger says, in one snapshot, of the desktop's checkpoints: of all that are not removed yet, and of those with
   * these ids if it has ever heard of them.
   */
  readonly standings: (ids: readonly string[]) => Promise<readonly CheckpointStanding[]>;
  /** What was modified since then is left for later. */
  readonly unneededBeforeMs: number;
  /** Removes nothing, and reports what it would. */
  readonly dryRun?: boolean;
  readonly signal?: AbortSignal;
}

export interface CollectReport {
  readonly removedObjects: number;
  readonly removedBytes: number;
  /** Objects that nobody needs and that are too young to go. */
  readonly waitingObjects: number;
  /** Objects of checkpoints that the ledger has never heard of. They stay. */
  readonly unknownObjects: number;
  /** Checkpoints of standing `gone` of which nothing is left but what others need. */
  readonly collected: readonly string[];
}

/**
 * Removes every object of a desktop that none of its checkpoints needs. May be killed anywhere and repeated, and run beside
 * saves, wakes and others of its kind, since of an object that is not marked this holds: **no manifest that is ever committed
 * names it**. A save enters its checkpoint in the ledger before it writes the first object, and the ledger is asked after the
 * store was listed: what of a save was listed is known to be wanted. What a manifest names besides, the current checkpoint of
 * its save's beginning names too. That one stays current until the save commits, is marked for as long as it is, and no
 * checkpoint that was given up ever becomes current again.
 *
 * What the ledger has never heard of is not touched: another deployment may use the same storage, or the ledger's database was
 * set back to an older backup, and these are the checkpoints that it has forgotten.
 * @throws what reading a kept manifest fails with, and then nothing was removed; CANCELLED
 */
export async function collectObjects(
  store: BlobStore,
  desktopId: string,
  { standings, unneededBeforeMs, dryRun = false, signal }: CollectOptions,
): Promise<CollectReport> {
  const listed: BlobInfo[] = [];
  for await (const object of store.list(desktopPrefix(desktopId))) listed.push(object);
  const found = [...new Set(listed.flatMap(({ key }) => checkpointOf(desktopId, key) ?? []))];
  const { checkpoints, marks } = await readMarks(store, desktopId, () => standings(found));

  const known = new Set(checkpoints.map(({ id }) => id));
  const unneeded = listed.filter(({ key }) => !marks.needs(key));
  const isKnown = ({ key }: BlobInfo): boolean => known.has(checkpointOf(desktopId, key) ?? '');
  const isOver = ({ modifiedAt }: BlobInfo): boolean => modifiedAt.getTime() <= unneededBeforeMs;
  const waiting = unneeded.filter((object) => isKnown(object) && !isOver(object));
  const doomed = unneeded.filter((object) => isKnown(object) && isOver(object));
  // Manifests first: killed half way, what is left is not a checkpoint any more.
  const isManifest = ({ key }: BlobInfo): boolean => key.endsWith('/manifest');
  for (const { key } of [...doomed.filter(isManifest), ...doomed.filter((one) => !isManifest(one))]) {
    if (signal?.aborted === true) throw new DormouseError('CANCELLED', 'the collection was called off', { desktopId });
    if (!dryRun) await store.delete(key);
  }
  const unsettled = new Set(waiting.map(({ key }) => checkpointOf(desktopId, key)));
  return {
    removedObjects: doomed.length,
    removedBytes: doomed.reduce((sum, { bytes }) => sum + bytes, 0),
    waitingObjects: waiting.length,
    unknownObjects: unneeded.filter((object) => !isKnown(object)).length,
    collected: checkpoints.filter(({ id, standing }) => standing === 'gone' && !unsettled.has(id)).map(({ id }) => id),
  };
}

function checkpointOf(desktopId: string, key: string): string | null {
  const [folder, id, object] = key.slice(desktopPrefix(desktopId).length).split('/');
  return folder === 'checkpoints' && id !== undefined && object !== undefined ? id : null;
}

import {
  objectKeys,
  pageKind,
  readManifest,
  StoredCheckpoint,
  type DataKey,
  type Manifest,
  type WakeTrace,
} from '@dormouse/checkpoint';
import type { CheckpointName } from '@dormouse/checkpoint-tools';
import { isDormouseError, type ErrorCode } from '@dormouse/errors';
import type { BlobStore } from '@dormouse/storage';

const unreadable: readonly ErrorCode[] = ['CHECKPOINT_CORRUPT', 'CHECKPOINT_UNKNOWN', 'FORMAT_UNSUPPORTED'];

/**
 * How many of the pages that each wake sent ahead were written to before the desktop slept again: these were wanted for
 * certain. What was only read leaves no trace, so others may have been wanted too.
 *
 * It shows in the checkpoint that was saved next: a page that still has its content is found where it was. One that is elsewhere
 * was written to, or its old place was given up with the pack it is in.
 * @returns for each trace a number, or null when nothing was saved since, or another wake came before
 * @throws as reading checkpoints does
 */
export async function writtenSince(
  store: BlobStore,
  name: CheckpointName,
  dataKey: DataKey,
  traces: readonly WakeTrace[],
): Promise<(number | null)[]> {
  const children = await childrenOf(store, name);
  const placesOf = async (checkpointId: string): Promise<(page: number) => string> =>
    placesIn(await StoredCheckpoint.find(store, { desktopId: name.desktopId, checkpointId }, dataKey));
  const before = children.length > 0 ? await placesOf(name.checkpointId) : null;
  const counts: (number | null)[] = [];
  for (const [n, { startedAt, ahead }] of traces.entries()) {
    const until = traces[n + 1]?.startedAt ?? '9999';
    const next = children.find(({ createdAt }) => createdAt > startedAt && createdAt < until);
    if (before === null || next === undefined) {
      counts.push(null);
      continue;
    }
    const after = await placesOf(next.checkpointId);
    counts.push(ahead.filter((page) => before(page) !== after(page)).length);
  }
  return counts;
}

/** Checkpoints that were saved after a wake of this one, oldest first. */
async function childrenOf(store: BlobStore, { desktopId, checkpointId }: CheckpointName): Promise<Manifest[]> {
  const { prefix, manifest } = objectKeys(desktopId, checkpointId);
  const folder = prefix.slice(0, -`${checkpointId}/`.length);
  const nameOfManifest = manifest.slice(prefix.length);
  const children: Manifest[] = [];
  for await (const { key } of store.list(folder)) {
    const [id, object] = key.slice(folder.length).split('/');
    if (object !== nameOfManifest || id === undefined) continue;
    const found = await manifestOf(store, { desktopId, checkpointId: id });
    if (found?.lineage.previous === checkpointId) children.push(found);
  }
  return children.sort((one, other) => (one.createdAt < other.createdAt ? -1 : 1));
}

/** Null when it is damaged: what was asked about is another checkpoint. */
async function manifestOf(store: BlobStore, name: CheckpointName): Promise<Manifest | null> {
  try {
    return await readManifest(store, name, null);
  } catch (error) {
    if (isDormouseError(error) && unreadable.includes(error.code)) return null;
    throw error;
  }
}

/** Where the content of a page is, whatever checkpoint says so. */
async function placesIn(stored: StoredCheckpoint): Promise<(page: number) => string> {
  const { map, frames } = await stored.pageMap();
  const { packs, diskSources } = stored.manifest;
  return (page) => {
    const kind = map.kindOf(page);
    if (kind === pageKind.zero) return 'zero';
    if (kind !== pageKind.frame) return `${diskSources[map.sourceOf(page)]!.name} ${map.blockOf(page)}`;
    const { pack, offset } = frames.get(map.frameOf(page));
    const { checkpointId, number } = packs[pack]!;
    return `${checkpointId} ${number} ${offset} ${map.slotOf(page)}`;
  };
}

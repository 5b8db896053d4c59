import { isDormouseError } from '@dormouse/errors';
import type { BlobStore } from '@dormouse/storage';
import { readManifest } from './read-objects';
import { objectKeys } from './object-keys';

/**
 * What is to become of a checkpoint. `kept`: whole, and to stay. `writing`: its objects have no manifest yet. `leaving`: given
 * up, but somebody may still be reading it. `gone`: nobody may.
 */
export type Standing = 'kept' | 'writing' | 'leaving' | 'gone';

export interface CheckpointStanding {
  readonly id: string;
  readonly standing: Standing;
}

/** What the checkpoints of a desktop need. */
export interface Marks {
  needs(key: string): boolean;
  /** Of disk layers whose files hold pages of theirs, or were sealed with them. */
  readonly diskGenerations: ReadonlySet<string>;
}

const mostAttempts = 3;

/**
 * @param standings what the ledger says now; asked again when a checkpoint was given up and removed between its answer and
 * the reading
 * @throws what reading a kept manifest fails with: what it needs is then not known
 */
export async function readMarks(
  store: BlobStore,
  desktopId: string,
  standings: () => Promise<readonly CheckpointStanding[]>,
): Promise<{ checkpoints: readonly CheckpointStanding[]; marks: Marks }> {
  for (let attempt = 1; ; attempt++) {
    const checkpoints = await standings();
    try {
      return { checkpoints, marks: await marksOf(store, desktopId, checkpoints) };
    } catch (error) {
      if (!isDormouseError(error, 'CHECKPOINT_UNKNOWN') || attempt === mostAttempts) throw error;
    }
  }
}

async function marksOf(
  store: BlobStore,
  desktopId: string,
  checkpoints: readonly CheckpointStanding[],
): Promise<Marks> {
  const named = new Set<string>();
  const prefixes: string[] = [];
  const diskGenerations = new Set<string>();
  for (const { id, standing } of checkpoints) {
    if (standing === 'gone') continue;
    const own = objectKeys(desktopId, id);
    if (standing !== 'kept') prefixes.push(own.prefix);
    if (standing === 'writing') continue;
    const manifest = await readManifest(store, { desktopId, checkpointId: id }, null).catch((error: unknown) => {
      if (standing === 'leaving' && isBeyondUse(error)) return null;
      throw error;
    });
    if (manifest === null) continue;
    prefixes.push(own.traces);
    for (const key of [own.manifest, own.pageMap, own.knownPages, own.wakePack, own.wakePages]) named.add(key);
    for (const pack of manifest.packs) named.add(objectKeys(desktopId, pack.checkpointId).pack(pack.number));
    for (const { name } of manifest.diskSources) diskGenerations.add(name.split('/')[0]!);
    if (manifest.diskGeneration !== null) diskGenerations.add(manifest.diskGeneration);
  }
  return { needs: (key) => named.has(key) || prefixes.some((prefix) => key.startsWith(prefix)), diskGenerations };
}

/** It was never finished, or cannot be woken any more: nobody is reading what such a checkpoint names. */
function isBeyondUse(error: unknown): boolean {
  return (['CHECKPOINT_UNKNOWN', 'CHECKPOINT_CORRUPT', 'FORMAT_UNSUPPORTED'] as const).some((code) =>
    isDormouseError(error, code),
  );
}

import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parseLayerName, unfinishedSuffix, type LayerName } from './layer-names';
import { readBackingName } from './qcow2-backing';

export interface FoundFile {
  readonly file: string;
  /** That it takes on the disk. */
  readonly bytes: number;
  readonly modifiedAtMs: number;
}

export interface FoundLayer extends FoundFile, LayerName {
  /** The layer below it in the same folder; null when it lies on something else. */
  readonly below: string | null;
}

/** What lies in a desktop's folder. Files that nobody made by this name are not in it. */
export interface LayerSurvey {
  readonly layers: readonly FoundLayer[];
  /** Of makings that were not finished, or are not yet. */
  readonly unfinished: readonly FoundFile[];
}

/** Files may come and go meanwhile. @throws DISK_SOURCE_CHANGED naming a layer that cannot be read */
export async function surveyLayers(directory: string): Promise<LayerSurvey> {
  const layers: FoundLayer[] = [];
  const unfinished: FoundFile[] = [];
  for (const file of (await unlessGone(readdir(directory))) ?? []) {
    const name = parseLayerName(file);
    if (name === null && !file.endsWith(unfinishedSuffix)) continue;
    const found = await unlessGone(look(directory, file));
    if (found === null) continue;
    if (name === null) {
      unfinished.push(found);
      continue;
    }
    const backing = await unlessGone(readBackingName(join(directory, file)));
    layers.push({ ...found, ...name, below: backing !== null && !backing.includes('/') ? backing : null });
  }
  return { layers, unfinished };
}

async function look(directory: string, file: string): Promise<FoundFile> {
  const { blocks, mtimeMs } = await stat(join(directory, file));
  return { file, bytes: blocks * 512, modifiedAtMs: mtimeMs };
}

/** Null also for what `finding` finds to be null. */
export async function unlessGone<T>(finding: Promise<T>): Promise<T | null> {
  try {
    return await finding;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

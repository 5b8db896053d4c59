import { randomUUID } from 'node:crypto';
import { open, rename, rm, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import { fileSystemTime } from '@dormouse/files';
import { runProgram } from '@dormouse/process';
import { unfinishedSuffix } from './layer-names';
import type { FoundLayer } from './survey-layers';

export interface MergeOptions {
  readonly qemuImg: string;
  readonly signal?: AbortSignal;
  /** Told of each step that begins: where a test ends the process. */
  readonly onStep?: (step: MergeStep) => void;
}

/** `settle`: the new file becomes durable. `postpone`: the grace of the lower layers begins anew. */
export type MergeStep = 'copy' | 'gather' | 'settle' | 'postpone' | 'replace' | 'done';

/**
 * Makes a run of layers one: the file of the uppermost is replaced by one with the same content, which lies on what the
 * lowest lies on. What lies on the run is not touched, and finds the same content under the same name. Killed anywhere it
 * leaves the old file or the new one, and perhaps an unfinished one.
 *
 * A QEMU that has the chain open goes on with the files it has opened: those below the layer it writes to are opened
 * read-only, once, and never by their name again. One that is opening the chain just now may have read the old header: the
 * other layers of the run stay for a grace that begins here.
 * @param layers lowest first, two at least; none of them may be written to
 * @throws CANCELLED, or STORAGE_FAILED with the reason of `qemu-img`
 */
export async function mergeLayers(
  directory: string,
  layers: readonly FoundLayer[],
  { qemuImg, signal, onStep = () => undefined }: MergeOptions,
): Promise<void> {
  const top = layers.at(-1)!.file;
  // A name of its own: a child of a worker that was killed may still be writing to its file.
  const unfinished = `${top}.${randomUUID()}${unfinishedSuffix}`;
  const politely = (...command: string[]) =>
    runProgram('layerMerge', 'nice', ['-n', '19', ...command], { cwd: directory, signal });
  try {
    const [name, format] = await backingOf(qemuImg, directory, layers[0]!.file);
    onStep('copy');
    await politely('cp', '--reflink=auto', '--preserve=mode,ownership', top, unfinished);
    // What the copy lacks and the layers below it have is written into it. `convert -B` would not do: it takes all that is
    // not in the uppermost layer for content of the new backing file.
    onStep('gather');
    await politely(qemuImg, 'rebase', '-q', '-f', 'qcow2', '-b', name, ...(format ? ['-F', format] : []), unfinished);
    onStep('settle');
    await sync(join(directory, unfinished));
    onStep('postpone');
    const now = new Date(await fileSystemTime(directory)); // which their grace is reckoned by
    for (const { file } of layers.slice(0, -1)) await utimes(join(directory, file), now, now);
    onStep('replace');
    await rename(join(directory, unfinished), join(directory, top));
    onStep('done');
    await sync(directory);
  } catch (error) {
    await rm(join(directory, unfinished), { force: true });
    if (signal?.aborted === true) throw new DormouseError('CANCELLED', `the merge into ${top} was called off`);
    const reason = (error as { stderr?: string }).stderr?.trim() || String(error);
    const message = `${layers.length} layers could not be merged into ${top}: ${reason}`;
    throw new DormouseError('STORAGE_FAILED', message, { directory, file: top }, { cause: error });
  }
}

/** The lowest layer's backing file as it is named there, and its format. */
async function backingOf(qemuImg: string, directory: string, file: string): Promise<[name: string, format: string]> {
  const { stdout } = await runProgram('qemuImg', qemuImg, ['info', '-U', '--output=json', file], { cwd: directory });
  const about = JSON.parse(stdout) as { 'backing-filename'?: string; 'backing-filename-format'?: string };
  return [about['backing-filename'] ?? '', about['backing-filename-format'] ?? ''];
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

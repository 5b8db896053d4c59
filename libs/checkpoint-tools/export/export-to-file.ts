import { randomUUID } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import { exportStream, type Exported, type ExportOptions } from './export-stream';

/**
 * Exports into a file of mode 0600, which takes its name when it is whole and durable: killed or failed at any point, this
 * leaves what was there before. A killed one leaves `<path>.<random>.part` besides.
 * @throws as exportStream; STORAGE_FULL, STORAGE_FAILED naming the file
 */
export async function exportToFile(options: ExportOptions, path: string): Promise<Exported> {
  const draft = `${path}.${randomUUID()}.part`;
  try {
    const file = await onFile(path, () => open(draft, 'wx', 0o600));
    let exported: Exported;
    try {
      exported = await exportStream(options, (chunk) => onFile(path, () => file.writeFile(chunk)));
      await onFile(path, () => file.sync());
    } finally {
      await file.close();
    }
    await onFile(path, () => rename(draft, path));
    await onFile(path, () => syncDirectory(dirname(path)));
    return exported;
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

async function onFile<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const full = code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG';
    throw new DormouseError(
      full ? 'STORAGE_FULL' : 'STORAGE_FAILED',
      `writing ${path} failed: ${message}`,
      { path },
      { cause },
    );
  }
}

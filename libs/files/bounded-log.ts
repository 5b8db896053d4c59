import { open, readdir, writeFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

/** A guest, or a program of ours, may say as much as it likes; of each log this much is kept, and as much of what was before. */
export const mostLogBytes = 2 ** 20;

/**
 * Bounds the logs of a directory that may be written to meanwhile: of one that has grown too large the end goes to `<name>.1`, and it
 * begins anew. Its writer must have opened it for appending, or it would leave a hole. What is written in between is lost.
 */
export async function boundLogs(directory: string): Promise<void> {
  const names = await readdir(directory).catch(noneOfIt);
  for (const name of names ?? []) if (name.endsWith('.log')) await boundLog(join(directory, name));
}

/** Of one log. */
export async function boundLog(path: string): Promise<void> {
  const file = await open(path, 'r+').catch(noneOfIt);
  if (file === null) return;
  try {
    const { size } = await file.stat();
    if (size <= mostLogBytes) return;
    await writeFile(`${path}.1`, await endOf(file, size, mostLogBytes), { mode: 0o600 });
    await file.truncate(0);
  } finally {
    await file.close();
  }
}

/** The last lines of a log, however large it is. */
export async function lastLines(path: string, lines: number): Promise<string[]> {
  const file = await open(path, 'r');
  try {
    const text = (await endOf(file, (await file.stat()).size, lines * mostLineBytes)).toString('utf8');
    return text.trim().split('\n').slice(-lines);
  } finally {
    await file.close();
  }
}

/** Lines that are longer are cut. */
const mostLineBytes = 4_096;

async function endOf(file: FileHandle, size: number, mostBytes: number): Promise<Buffer> {
  const length = Math.min(size, mostBytes);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
  return buffer.subarray(0, bytesRead);
}

/** The machine may end, and its directory with it. */
function noneOfIt(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null;
  throw error;
}

import { randomUUID } from 'node:crypto';
import { link, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Puts `content` under a name, whole or not at all, and for good: a power cut right after leaves the new file or the old one, never
 * an empty one. The file is its owner's alone.
 * @throws what the file system says; nothing is left beside the file then
 */
export async function writeWhole(path: string, content: string | Uint8Array): Promise<void> {
  await throughDraft(path, content, (draft) => rename(draft, path));
}

/** As `writeWhole`, but leaves a file that is there as it is. @returns whether it is ours */
export function writeOnce(path: string, content: string | Uint8Array): Promise<boolean> {
  return throughDraft(path, content, async (draft) => {
    try {
      await link(draft, path); // unlike rename(2) it does not replace
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw error;
    }
  });
}

async function throughDraft<T>(
  path: string,
  content: string | Uint8Array,
  place: (draft: string) => Promise<T>,
): Promise<T> {
  const draft = `${path}.${randomUUID()}.new`;
  try {
    const file = await open(draft, 'wx', 0o600);
    try {
      await file.writeFile(content);
      await file.sync(); // before the name: else the name may be on the disk without the content
    } finally {
      await file.close();
    }
    const placed = await place(draft);
    await syncDirectory(dirname(path));
    return placed;
  } finally {
    await rm(draft, { force: true });
  }
}

/** A name that was made, changed or removed in it survives a power cut from here on. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

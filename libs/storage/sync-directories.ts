import { open } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Makes the names from `directory` up to `top` durable. All of them each time: a folder that another writer has just
 * made is there for us before its own name is on the disk. Costs next to nothing for those that are clean.
 */
export async function syncDirectories(directory: string, top: string): Promise<void> {
  for (let current = directory; ; current = dirname(current)) {
    const handle = await open(current, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
    if (current === top || current === dirname(current)) return;
  }
}

import { execFile } from 'node:child_process';
import { readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * Makes the next reads come from the disk: the whole page cache as root, else that of the files below `paths`
 * (posix_fadvise, by dd). Written pages are synced first, since they cannot be dropped.
 */
export async function dropPageCache(paths: readonly string[]): Promise<void> {
  await run('sync');
  if (process.getuid?.() === 0) {
    await writeFile('/proc/sys/vm/drop_caches', '3');
    return;
  }
  for (const path of paths) {
    for await (const file of filesBelow(path))
      await run('dd', [`if=${file}`, 'iflag=nocache', 'count=0', 'status=none']);
  }
}

async function* filesBelow(path: string): AsyncGenerator<string> {
  if (!(await stat(path)).isDirectory()) {
    yield path;
    return;
  }
  for (const entry of await readdir(path, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) yield join(entry.parentPath, entry.name);
  }
}

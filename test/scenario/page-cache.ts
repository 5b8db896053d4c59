import { execFile } from 'node:child_process';
import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { filesBelow } from './files';

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
    const files = (await stat(path)).isDirectory() ? (await filesBelow(path)).map((file) => join(path, file)) : [path];
    for (const file of files) await run('dd', [`if=${file}`, 'iflag=nocache', 'count=0', 'status=none']);
  }
}

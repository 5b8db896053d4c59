import { realpath } from 'node:fs/promises';
import { DormouseError } from '@dormouse/errors';
import { hostPathsOf, isBelow, type LaunchSpec } from '@dormouse/qemu';

/** The directories of a host that machines may be made of. */
export class ImagePlaces {
  /** @param directories null: any file will do */
  constructor(private readonly directories: readonly string[] | null) {}

  /**
   * Looks where the files of a launch spec really are: a link inside of an allowed directory leads nowhere else.
   * @throws LAUNCH_SPEC_FORBIDDEN naming the paths; whether there is anything behind them is not told
   */
  async check(launchSpec: LaunchSpec): Promise<void> {
    if (this.directories === null) return;
    const allowed = await Promise.all(this.directories.map(reallyAt));
    const outside: string[] = [];
    for (const path of hostPathsOf(launchSpec)) {
      const real = await reallyAt(path);
      if (!allowed.some((directory) => isBelow(directory, real))) outside.push(path);
    }
    if (outside.length === 0) return;
    throw new DormouseError(
      'LAUNCH_SPEC_FORBIDDEN',
      `${outside.join(', ')}: not in a directory that IMAGE_DIRS names on this host. Put the file there, or have the directory added`,
      { paths: outside, directories: this.directories },
    );
  }
}

/** What is not there leads nowhere: whoever opens it says so. */
async function reallyAt(path: string): Promise<string> {
  return realpath(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return path;
    throw error;
  });
}

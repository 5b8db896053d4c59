import { randomUUID } from 'node:crypto';
import { access, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileSystemTime, makeDirectory } from '@dormouse/files';
import { identifyProcess, isProcessAlive, processScope } from '@dormouse/process';

/**
 * Files being written. A process that is killed leaves its file here, under a name that tells whose it was:
 * `<scope>.<pid>.<start ticks>.<uuid>`. The scope is the boot and the pid namespace in which that pid means something.
 */
const folder = '.incoming';

/**
 * A file of another host or another boot cannot be asked for its writer; a writer that lives touches it all the time. Longer than a day:
 * so much may a clock be set forward.
 */
const abandonedAfterMs = 3 * 24 * 60 * 60 * 1000;

export class Incoming {
  private readonly directory: string;

  constructor(root: string) {
    this.directory = join(root, folder);
  }

  async prepare(): Promise<void> {
    await makeDirectory(this.directory);
  }

  /** Whether the store is where it was opened. */
  async isThere(): Promise<boolean> {
    return access(this.directory).then(
      () => true,
      () => false,
    );
  }

  newPath(): string {
    const self = identifyProcess(process.pid)!;
    return join(this.directory, [processScope(), self.pid, self.startTicks, randomUUID()].join('.'));
  }

  /** Removes what dead writers left behind. Safe beside any number of live ones. */
  async sweep(): Promise<void> {
    let nowMs: Promise<number> | null = null;
    const now = (): Promise<number> => (nowMs ??= fileSystemTime(this.directory));
    for (const name of await readdir(this.directory)) {
      if (await this.isAbandoned(name, now)) await rm(join(this.directory, name), { force: true });
    }
  }

  private async isAbandoned(name: string, now: () => Promise<number>): Promise<boolean> {
    const [scope, pid, startTicks] = name.split('.');
    if (scope === processScope()) return !isProcessAlive({ pid: Number(pid), startTicks: Number(startTicks) });
    try {
      const { mtimeMs } = await stat(join(this.directory, name));
      return (await now()) - mtimeMs > abandonedAfterMs;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false; // its writer has just finished with it
      throw error;
    }
  }
}

import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { processRecord, type ProcessRole } from '@dormouse/pager-control';
import { recordedProcess, recordProcess, unixSocketPath, type ProcessIdentity } from '@dormouse/process';
import { safeName } from '@dormouse/text';
import { lastLines } from './bounded-log';

/**
 * Where a running machine keeps its sockets, logs and the identities of its processes. Mode 0700; it is QEMU's and the
 * pager's working directory, so that both name their sockets without a path.
 */
export class RunDirectory {
  readonly path: string;

  constructor(
    root: string,
    readonly desktopId: string,
  ) {
    this.path = join(root, safeName(desktopId));
  }

  /** An empty directory for a machine about to start. */
  async create(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
    await mkdir(this.path, { recursive: true, mode: 0o700 });
  }

  /** Where nothing is left of a machine before; the processes that run there are this machine's from now on. */
  async moveIn(from: RunDirectory): Promise<void> {
    await rename(from.path, this.path);
  }

  async remove(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }

  /** An address for this process to connect to. */
  socket(name: string): string {
    return unixSocketPath(this.path, name);
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** Remembers a process for whoever takes over after us. */
  recordProcess(role: ProcessRole, identity: ProcessIdentity): Promise<void> {
    return recordProcess(this.file(processRecord(role)), identity);
  }

  /** The recorded process if it is alive. */
  liveProcess(role: ProcessRole): Promise<ProcessIdentity | null> {
    return recordedProcess(this.file(processRecord(role)));
  }

  /** The end of a log, for error messages. */
  async logTail(name: string, lines = 5): Promise<string> {
    const said = await lastLines(this.file(name), lines).catch((error: NodeJS.ErrnoException) => [
      `(no log: ${error.code})`,
    ]);
    return said.join('; ');
  }
}

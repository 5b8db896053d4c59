import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { lastLines, shareWithGroup } from '@dormouse/files';
import { pagerSockets, processRecord, type ProcessRole } from '@dormouse/pager-control';
import {
  commandLineOf,
  identifyProcess,
  processesIn,
  readProcessRecord,
  recordProcess,
  unixSocketPath,
  type ProcessIdentity,
  type ProcessUser,
} from '@dormouse/process';
import { socketFolder, socketIn, type MachineParts } from '@dormouse/qemu';
import { safeName } from '@dormouse/text';

const builtRecord = 'machine.json';
const pausedRecord = 'paused';
/** As QEMU's arguments name it. */
const consoleLog = 'console.log';

/**
 * Where a running machine keeps its sockets, logs and the identities of its processes. It is for its owner alone; a QEMU with a user of its
 * own passes through to what it may use. It is QEMU's and the pager's working directory, so that both name their sockets without a path.
 */
export class RunDirectory {
  readonly path: string;

  constructor(
    root: string,
    readonly desktopId: string,
  ) {
    this.path = join(root, safeName(desktopId));
  }

  /** An empty directory for a machine about to start. @param user QEMU's, if it has one of its own */
  async create(user: ProcessUser | null = null): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
    await mkdir(this.path, { recursive: true, mode: 0o700 });
    if (user === null) return;
    await mkdir(this.file(socketFolder));
    await writeFile(this.file(consoleLog), '', { flag: 'wx' });
    await shareWithGroup(this.file(socketFolder), user.gid, 0o770);
    await shareWithGroup(this.file(consoleLog), user.gid, 0o660);
    await shareWithGroup(this.path, user.gid, 0o710); // it starts in here, and names what it may use
  }

  /** Where nothing is left of a machine before; the processes that run there are this machine's from now on. */
  async moveIn(from: RunDirectory): Promise<void> {
    await rename(from.path, this.path);
  }

  async remove(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }

  /** The address of a socket of QEMU's, for this process to connect to. */
  socket(name: string): string {
    return unixSocketPath(this.path, socketIn(this.path, name));
  }

  /** The address of the pager's socket, likewise. */
  pagerSocket(): string {
    return unixSocketPath(this.path, pagerSockets.control);
  }

  /** Where QEMU is to listen for its memory, as it is told. */
  get incomingUri(): string {
    return `unix:${socketIn(this.path, pagerSockets.incoming)}`;
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** Remembers a process for whoever takes over after us. */
  recordProcess(role: ProcessRole, identity: ProcessIdentity): Promise<void> {
    return recordProcess(this.file(processRecord(role)), identity);
  }

  /** Where the starter of a process remembers it. */
  recordFile(role: ProcessRole): string {
    return this.file(processRecord(role));
  }

  /**
   * The process if it is alive. One whose record is damaged is found by its working directory, and remembered anew: a machine that nobody
   * knew of would run beside the next one, on the same disks.
   */
  async liveProcess(role: ProcessRole): Promise<ProcessIdentity | null> {
    const recorded = await readProcessRecord(this.recordFile(role));
    if (recorded !== 'unknown') return recorded === 'ended' ? null : recorded;
    // There is a pager only where there is a record of it: nobody waits here until all processes were looked at.
    if (role === 'owner' || !existsSync(role === 'qemu' ? this.path : this.recordFile(role))) return null;
    const found = processesIn(this.path).find((pid) => roleOf(pid) === role);
    const identity = found === undefined ? null : identifyProcess(found);
    if (identity !== null) await this.recordProcess(role, identity);
    return identity;
  }

  /** Remembers what QEMU has built, for the save that compares. */
  async recordBuilt(parts: MachineParts): Promise<void> {
    await writeFile(this.file(`${builtRecord}.new`), JSON.stringify(parts), { mode: 0o600 });
    await rename(this.file(`${builtRecord}.new`), this.file(builtRecord));
  }

  /** Null when nobody has remembered it, or the file is damaged. */
  async built(): Promise<MachineParts | null> {
    const text = await readFile(this.file(builtRecord), 'utf8').catch(() => '');
    try {
      const parts = JSON.parse(text) as Partial<MachineParts> | null;
      const lists = [parts?.objects, parts?.netdevs, parts?.nodes, parts?.blocks];
      return lists.every(Array.isArray) ? (parts as MachineParts) : null;
    } catch {
      return null;
    }
  }

  /** Remembers that somebody had stopped the guest before it was saved. */
  async recordPaused(paused: boolean): Promise<void> {
    if (paused) await writeFile(this.file(pausedRecord), '');
    else await rm(this.file(pausedRecord), { force: true });
  }

  wasPaused(): Promise<boolean> {
    return readFile(this.file(pausedRecord)).then(
      () => true,
      () => false,
    );
  }

  /** The end of a log, for error messages. */
  async logTail(name: string, lines = 5): Promise<string> {
    const said = await lastLines(this.file(name), lines).catch((error: NodeJS.ErrnoException) => [
      `(no log: ${error.code})`,
    ]);
    return said.join('; ');
  }
}

/** Of a process that works in a run directory: QEMU is told its guest's name, pagers are programs of Node. */
function roleOf(pid: number): ProcessRole | null {
  const [program, ...args] = commandLineOf(pid);
  if (program === process.execPath) return 'pager';
  return args.some((arg) => arg.startsWith('guest=')) ? 'qemu' : null;
}

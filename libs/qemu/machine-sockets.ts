import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Sockets in the run directory. QEMU is started inside it and names them without a path, however long that is. */
export const socketNames = {
  /** QMP for Dormouse alone: it serves one client at a time. */
  control: 'qmp.sock',
  /** A second QMP for people and tools. */
  monitor: 'monitor.sock',
  /** A third QMP, on which Dormouse hears what becomes of the guest. */
  events: 'events.sock',
  /** A third QMP: for the pager of a save, and for whoever finds that a worker that hangs holds the first. */
  guard: 'guard.sock',
  console: 'console.sock',
  /** The guest's second serial port, for a probe inside the guest. */
  probe: 'probe.sock',
  agent: 'agent.sock',
  vnc: 'vnc.sock',
} as const;

/**
 * Folder of the run directory in which a QEMU makes its sockets that has a user of its own. It may write nowhere else there: the names
 * beside it are ours, and nobody leads us astray by them.
 */
export const socketFolder = 'qemu';

/** A socket of QEMU's, as it is named in the run directory `directory`. A machine keeps the layout that it was started with. */
export function socketIn(directory: string, name: string): string {
  return existsSync(join(directory, socketFolder)) ? `${socketFolder}/${name}` : name;
}

import { spawnSync } from 'node:child_process';
import { closeSync, constants, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { DormouseError } from '@dormouse/errors';

/** Exit status of flock(1) when another holds the lock. */
const heldByAnother = 1;

/**
 * The right to run a service in a directory, for one owner at a time. The kernel takes it back when the owner dies,
 * however it dies, so there is no stale lock to tell from a live one.
 */
export class DirectoryClaim {
  private constructor(private readonly descriptor: number) {}

  /** @throws DATA_DIRECTORY_IN_USE when another process, or this one, has it already. */
  static take(directory: string): DirectoryClaim {
    const path = join(directory, 'owner');
    const descriptor = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    try {
      // Node has no flock(2). The lock belongs to the open file, not to the process that asked for it: flock(1) takes
      // it on our descriptor and ends, and we have it until the descriptor is closed. No child of ours inherits it.
      const { status, error, stderr } = spawnSync('flock', ['--exclusive', '--nonblock', '3'], {
        stdio: ['ignore', 'ignore', 'pipe', descriptor],
        encoding: 'utf8',
      });
      if (error !== undefined) {
        throw new DormouseError('DEPENDENCY_MISSING', `cannot run flock (package util-linux): ${error.message}`);
      }
      if (status === heldByAnother) throw inUse(directory, readFileSync(path, 'utf8'));
      if (status !== 0) throw new DormouseError('INTERNAL', `flock failed on ${path}: ${stderr}`, { path });
      ftruncateSync(descriptor);
      writeSync(descriptor, `${process.pid}\n`, 0);
      return new DirectoryClaim(descriptor);
    } catch (error) {
      closeSync(descriptor);
      throw error;
    }
  }

  release(): void {
    closeSync(this.descriptor);
  }
}

function inUse(directory: string, pid: string): DormouseError {
  return new DormouseError(
    'DATA_DIRECTORY_IN_USE',
    `another Dormouse (pid ${pid.trim()}) is using this data directory: ${directory}. Stop it, or use another directory`,
    { directory, pid: Number(pid) },
  );
}

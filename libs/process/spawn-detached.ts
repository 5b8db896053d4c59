import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { DormouseError } from '@dormouse/errors';
import { identifyProcess, type ProcessIdentity } from './process-identity';

export interface DetachedCommand {
  readonly program: string;
  readonly args: readonly string[];
  readonly cwd: string;
  /** Standard output and error are appended here. */
  readonly logFile: string;
  readonly env?: NodeJS.ProcessEnv;
}

/**
 * Starts a process that outlives this one: a session of its own, no pipe to us.
 * @throws DEPENDENCY_MISSING when the program cannot be started.
 */
export async function spawnDetached(command: DetachedCommand): Promise<ProcessIdentity> {
  const log = openSync(command.logFile, 'a', 0o600);
  try {
    const child = spawn(command.program, command.args, {
      cwd: command.cwd,
      detached: true,
      stdio: ['ignore', log, log],
      env: command.env ?? process.env,
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (cause) => {
        reject(
          new DormouseError('DEPENDENCY_MISSING', `cannot start ${command.program}: ${cause.message}`, {}, { cause }),
        );
      });
    });
    child.unref();
    // A child that has already ended is still our zombie here or gone: give an identity no process will ever have.
    return identifyProcess(child.pid!) ?? { pid: child.pid!, startTicks: -1 };
  } finally {
    closeSync(log);
  }
}

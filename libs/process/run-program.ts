import { execFile, type ChildProcess } from 'node:child_process';
import { within, type LimitName } from '@dormouse/limits';
import { plainEnvironment } from './plain-environment';
import { unlessAborted } from './unless-aborted';

export interface ProgramOutput {
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a program to its end, with nothing of our environment that is a secret. One that takes longer than its limit, says more than a MiB, or is called
 * off is killed with SIGKILL, and not waited for: it may hang in the kernel.
 * @throws what it ended with, as `execFile` has it; the error of the limit; the reason of `signal`
 */
export async function runProgram(
  limit: LimitName,
  program: string,
  args: readonly string[],
  { cwd, signal }: { cwd?: string | undefined; signal?: AbortSignal | undefined } = {},
): Promise<ProgramOutput> {
  signal?.throwIfAborted();
  let child: ChildProcess | undefined;
  const ended = new Promise<ProgramOutput>((resolve, reject) => {
    const options = { ...(cwd !== undefined && { cwd }), killSignal: 'SIGKILL', env: plainEnvironment() } as const;
    child = execFile(program, args, options, (error, stdout, stderr) => {
      if (error === null) resolve({ stdout, stderr });
      else reject(Object.assign(error as Error, { stdout, stderr }));
    });
  });
  // Not by `execFile`'s own signal: that is a SIGTERM, whatever `killSignal` says, and a program may ignore it.
  const kill = (): void => {
    child?.kill('SIGKILL');
    for (const stream of [child?.stdout, child?.stderr]) stream?.destroy(); // which a child of its own may hold
  };
  const unlessCalledOff = signal === undefined ? ended : unlessAborted(ended, signal);
  signal?.addEventListener('abort', kill, { once: true });
  try {
    return await within(limit, unlessCalledOff, { about: program, onTimeout: kill });
  } finally {
    signal?.removeEventListener('abort', kill);
  }
}

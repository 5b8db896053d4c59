import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { within, type LimitName } from '@dormouse/limits';
import { plainEnvironment } from './plain-environment';

const run = promisify(execFile);

/**
 * Runs a program to its end, with nothing of our environment that is a secret. One that takes longer than its limit is killed, and not
 * waited for: it may hang in the kernel.
 * @throws what it ended with, as `execFile` has it; or the error of the limit
 */
export async function runProgram(
  limit: LimitName,
  program: string,
  args: readonly string[],
  { cwd, signal }: { cwd?: string | undefined; signal?: AbortSignal | undefined } = {},
): Promise<{ readonly stdout: string }> {
  const tooLate = new AbortController();
  const ends = signal === undefined ? tooLate.signal : AbortSignal.any([signal, tooLate.signal]);
  const ended = run(program, args, {
    ...(cwd !== undefined && { cwd }),
    signal: ends,
    killSignal: 'SIGKILL',
    env: plainEnvironment(),
  });
  return within(limit, ended, { about: program, onTimeout: () => tooLate.abort() });
}

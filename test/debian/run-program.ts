import { execFile } from 'node:child_process';
import { DormouseError } from '@dormouse/errors';

/** mke2fs lives in a directory that only root has in its PATH. */
const searchPath = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;

/**
 * Runs a program to its end and returns what it wrote to standard output.
 * @throws DEPENDENCY_MISSING with the program's own complaint when it cannot be started or fails.
 */
export function runProgram(
  program: string,
  args: readonly string[],
  { cwd, input }: { cwd?: string; input?: string } = {},
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      program,
      args,
      {
        ...(cwd === undefined ? {} : { cwd }),
        env: { ...process.env, PATH: searchPath, LC_ALL: 'C' },
        encoding: 'buffer',
        maxBuffer: 512 * 1024 * 1024,
      },
      (cause, stdout, stderr) => {
        if (cause === null) return resolve(stdout);
        const complaint = stderr.toString().trim().split('\n').slice(-3).join(' ') || cause.message;
        reject(
          new DormouseError('DEPENDENCY_MISSING', `${program} ${args[0] ?? ''} failed: ${complaint}`, {}, { cause }),
        );
      },
    );
    child.stdin?.on('error', () => undefined); // it ended without reading all: its exit status says why
    child.stdin?.end(input);
  });
}

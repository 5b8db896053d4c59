import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { once } from 'node:events';
import { DormouseError } from '@dormouse/errors';
import { limits } from '@dormouse/limits';
import { hugePageHeap, identifyProcess, plainEnvironment, stopProcess } from '@dormouse/process';
import {
  PagerClient,
  type PagerAssignment,
  type PagerJob,
  type PagerSetUp,
  type PagerSilence,
  type PagerStatus,
} from '@dormouse/pager-control';
import type { RunDirectory } from './run-directory';

/** A new pager is made ready when the machine just served no longer needs the processors so badly. */
const nextSpareMs = 5_000;

/**
 * Memory whatever the size of the guest. The heap is small because pages live outside of it. The engine counts what comes from a
 * socket as its own, and would look for garbage after every few MiB of it: an old space that may be as large from the beginning
 * halves what reading from a store costs. Where much outside of the heap has become free, the collector is told (`gc`). A pager in
 * waiting does nothing for a long time, and the engine would have made its heap so small by then (`memory-reducer`) that it had to
 * collect every few milliseconds of a wake. The thread pool compresses, hashes and waits for the disk.
 */
const nodeFlags = [
  ...['--enable-source-maps', '--expose-gc', '--no-memory-reducer'],
  ...['--max-old-space-size=128', '--initial-old-space-size=64'],
  ...['--min-semi-space-size=4', '--max-semi-space-size=4'],
];
const environment = { ...hugePageHeap, UV_THREADPOOL_SIZE: '6' };

/**
 * Starts pagers, and keeps one in waiting: loading a program takes longer than waking a guest, and its user waits for
 * both. A pager is detached and outlives us once it has its work; one in waiting ends with us, when its input closes.
 */
export class PagerStarter {
  private spare: ChildProcess | null = null;
  private timer: NodeJS.Timeout | null = null;

  /** @param logFile for what a pager says before it has a run directory */
  constructor(
    private readonly program: string,
    private readonly logFile: string,
    private readonly setUp: PagerSetUp,
  ) {}

  /** Makes a pager ready for `start`. */
  prepare(): void {
    if (this.spare === null || !isRunning(this.spare)) this.spare = this.spawn();
  }

  /** Puts a pager to work in the run directory of the machine it serves. @throws PAGER_FAILED */
  async start<Status extends PagerStatus>(directory: RunDirectory, job: PagerJob): Promise<PagerClient<Status>> {
    await predecessorGone(directory);
    this.prepare();
    const pager = this.spare!;
    this.spare = null;
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.prepare();
    }, nextSpareMs).unref();
    try {
      return await this.assign<Status>(pager, directory, job);
    } catch (error) {
      pager.kill('SIGKILL'); // nobody would ever speak to it
      throw error;
    }
  }

  private async assign<Status extends PagerStatus>(
    pager: ChildProcess,
    directory: RunDirectory,
    job: PagerJob,
  ): Promise<PagerClient<Status>> {
    if (pager.pid === undefined) await once(pager, 'spawn').catch(failed);
    const identity = identifyProcess(pager.pid!);
    if (identity === null) throw new DormouseError('PAGER_FAILED', `the pager ended at once; ${this.logFile} says why`);
    // Before it gets its work: a pager that works must be known to whoever comes after us.
    await directory.recordProcess('pager', identity);
    pager.stdin!.end(`${JSON.stringify({ directory: directory.path, job } satisfies PagerAssignment)}\n`);
    const silence = job.mode === 'serve' ? 'wakingPagerNews' : 'savingPagerNews';
    try {
      return await connectPager<Status>(directory, limits.pagerStart.ms, () => isRunning(pager), silence);
    } catch (error) {
      await stopProcess(identity, { signal: 'SIGKILL' }); // it has the job, and may begin yet
      throw error;
    }
  }

  close(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.spare?.stdin!.end();
    this.spare = null;
  }

  private spawn(): ChildProcess {
    const log = openSync(this.logFile, 'a', 0o600);
    const child = spawn(process.execPath, [...nodeFlags, this.program], {
      detached: true,
      stdio: ['pipe', log, log],
      env: { ...plainEnvironment(forStorage(this.setUp.storageUrl)), ...environment },
    });
    closeSync(log);
    child.on('error', () => undefined); // met by `start`: it then has no process id
    child.stdin!.on('error', () => undefined); // it died before it read: connecting to it fails and says so
    child.stdin!.write(`${JSON.stringify(this.setUp)}\n`);
    child.unref();
    (child.stdin as unknown as { unref(): void }).unref();
    return child;
  }
}

/**
 * What the AWS SDK reads. Of ours the rest, such as the database's password and the Vault token, is none of a pager's business: it reads
 * what a guest sends.
 */
function forStorage(storageUrl: string): string[] {
  if (!storageUrl.startsWith('s3:')) return [];
  return ['HOME', 'NODE_EXTRA_CA_CERTS', ...Object.keys(process.env).filter((name) => name.startsWith('AWS_'))];
}

export function connectPager<Status extends PagerStatus>(
  directory: RunDirectory,
  patienceMs: number,
  isStarting: () => boolean,
  silence: PagerSilence,
): Promise<PagerClient<Status>> {
  return PagerClient.connect<Status>(directory.pagerSocket(), patienceMs, isStarting, silence);
}

/** One whose work is over may still listen where the next one will: whoever connected would speak to it. */
async function predecessorGone(directory: RunDirectory): Promise<void> {
  const predecessor = await directory.liveProcess('pager');
  if (predecessor !== null) await stopProcess(predecessor, { patienceMs: limits.pagerEnd.ms });
}

function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}

function failed(cause: unknown): never {
  throw new DormouseError('PAGER_FAILED', `no pager can be started: ${(cause as Error).message}`, {}, { cause });
}

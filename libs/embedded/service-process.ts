import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, renameSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import { boundLog } from '@dormouse/files';

export interface ServiceCommand {
  /** For messages: 'Postgres'. */
  readonly name: string;
  readonly command: readonly string[];
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  /** Its output goes here; the end of what was before is kept as `<logFile>.1`. */
  readonly logFile: string;
  /** Becomes its descriptor 3. */
  readonly descriptor?: number;
}

/** From polite to certain: each signal has its time before the next one goes out. */
export type StopSteps = readonly { readonly signal: NodeJS.Signals; readonly patienceMs: number }[];

const pollMs = 5;

/** A child in a session of its own: Ctrl-C in our terminal does not reach it before those who use it are done. */
export class ServiceProcess {
  /** Resolves when the process has ended without `stop`. */
  readonly lost: Promise<DormouseError>;
  private readonly child: ChildProcess;
  /** How it ended: 'exit status 1', 'SIGKILL'. */
  private outcome: string | undefined;
  private stopping = false;

  constructor(
    private readonly command: ServiceCommand,
    private readonly stopSteps: StopSteps,
  ) {
    this.child = spawnInto(command);
    this.lost = new Promise((resolve) => {
      const end = (outcome: string) => {
        this.outcome = outcome;
        if (!this.stopping) resolve(this.failure(`ended unasked (${outcome})`));
      };
      this.child.once('error', (error) => end(error.message));
      this.child.once('exit', (status, signal) => end(signal ?? `exit status ${status}`));
    });
    // What keeps this process alive is its own work. When that ends, so does the service.
    this.child.unref();
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  /**
   * Waits until `isReady`; stops the process when that does not come to pass.
   * @throws SERVICE_UNAVAILABLE, with the end of its log.
   */
  async untilReady(isReady: () => boolean | Promise<boolean>, patienceMs: number): Promise<void> {
    const deadline = performance.now() + patienceMs;
    while (!(await isReady())) {
      if (this.outcome !== undefined) throw this.failure(`did not start (${this.outcome})`);
      if (performance.now() >= deadline) {
        await this.stop();
        throw this.failure(`was not ready after ${patienceMs / 1000} s`);
      }
      await sleep(pollMs);
    }
  }

  /** Cuts its log when that has grown large. */
  boundLog(): Promise<void> {
    return boundLog(this.command.logFile);
  }

  /** Resolves when the process is gone, or the time of the last step is over. */
  async stop(): Promise<void> {
    this.stopping = true;
    for (const { signal, patienceMs } of this.stopSteps) {
      const deadline = performance.now() + patienceMs;
      if (this.outcome === undefined) this.child.kill(signal);
      while (this.outcome === undefined && performance.now() < deadline) await sleep(pollMs);
    }
  }

  private failure(what: string): DormouseError {
    const { name, logFile } = this.command;
    const lastLines = readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-5).join('\n');
    const message = `the private ${name} ${what}. Its log, ${logFile}, ends:\n${lastLines}`;
    return new DormouseError('SERVICE_UNAVAILABLE', message, { service: name, logFile });
  }
}

function spawnInto({ command, cwd, env, logFile, descriptor }: ServiceCommand): ChildProcess {
  if (existsSync(logFile)) renameSync(logFile, `${logFile}.1`);
  const log = openSync(logFile, 'a', 0o600);
  try {
    const [program, ...args] = command;
    return spawn(program!, args, { cwd, env, detached: true, stdio: ['ignore', log, log, descriptor ?? 'ignore'] });
  } finally {
    closeSync(log);
  }
}

import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import type { Logger } from '@dormouse/observability';
import { stopMessage } from '@dormouse/process';

export interface ChildOptions {
  readonly name: string;
  readonly script: string;
  readonly environment: NodeJS.ProcessEnv;
  /** Takes every line that the child writes. */
  readonly onLine: (line: string) => void;
  readonly logger: Logger;
}

const firstPauseMs = 500;
const longestPauseMs = 30_000;
/** A child that has run for so long was well: its next crash is its first. */
const wellAfterMs = 60_000;
/** One that ends so often without ever having been ready will not start by itself. */
const attempts = 3;

/** A process of ours that is kept running until it is told to stop. It says `{ready: true}` on its IPC channel. */
export class Child {
  /** Resolves at the first ready message; rejects with SERVICE_UNAVAILABLE when it ends again and again before. */
  readonly ready: Promise<void>;
  private settleReady!: { resolve: () => void; reject: (error: DormouseError) => void };
  private wasReady = false;
  private readonly stopping = new AbortController();
  private process: ChildProcess | null = null;
  private readonly kept: Promise<void>;

  constructor(private readonly options: ChildOptions) {
    this.ready = new Promise((resolve, reject) => {
      this.settleReady = { resolve, reject };
    });
    // Whoever does not wait for it is not to be ended by it.
    this.ready.catch(() => {});
    this.kept = this.keepRunning();
  }

  get pid(): number | undefined {
    return this.process?.pid;
  }

  /** Tells it to end, and kills it when it is still there after `patienceMs`. Resolves when it is gone. */
  async stop(patienceMs: number): Promise<void> {
    this.stopping.abort();
    if (this.process?.connected === true) this.process.send(stopMessage);
    const tooLate = setTimeout(() => {
      this.options.logger.warn(`the ${this.options.name} does not stop: it is killed`);
      this.process?.kill('SIGKILL');
    }, patienceMs);
    await this.kept;
    clearTimeout(tooLate);
  }

  private async keepRunning(): Promise<void> {
    const { name, logger } = this.options;
    let crashes = 0;
    while (!this.stopping.signal.aborted) {
      const startedAt = performance.now();
      const how = await this.runOnce();
      if (this.stopping.signal.aborted) break;
      crashes = performance.now() - startedAt > wellAfterMs ? 1 : crashes + 1;
      if (!this.wasReady && crashes === attempts) {
        this.settleReady.reject(
          new DormouseError(
            'SERVICE_UNAVAILABLE',
            `the ${name} does not start (${how}, ${crashes} times); its lines above say why`,
          ),
        );
        break;
      }
      const pauseMs = Math.min(firstPauseMs * 2 ** (crashes - 1), longestPauseMs);
      logger.error(`the ${name} ended by itself (${how}); it is started again in ${pauseMs / 1000} s`);
      await sleep(pauseMs, undefined, { signal: this.stopping.signal }).catch(() => {}); // told to stop: no need to wait
    }
  }

  /** How it ended, in words. */
  private runOnce(): Promise<string> {
    const { script, environment, onLine } = this.options;
    const child = spawn(process.execPath, ['--enable-source-maps', script], {
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.process = child;
    for (const stream of [child.stdout!, child.stderr!]) createInterface({ input: stream }).on('line', onLine);
    child.on('message', (message) => {
      if ((message as { ready?: unknown }).ready !== true) return;
      this.wasReady = true;
      this.settleReady.resolve();
    });
    return new Promise((resolve) => {
      child.once('error', (error) => resolve(error.message));
      // `close`, not `exit`: its last lines have been read.
      child.once('close', (code, signal) => {
        this.process = null;
        resolve(signal === null ? `exit code ${code}` : signal);
      });
    });
  }
}

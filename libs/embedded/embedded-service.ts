import { setTimeout as sleep } from 'node:timers/promises';
import { describeError, type DormouseError } from '@dormouse/errors';
import { untilNoProcessIn } from './processes-in';
import type { ServiceProcess } from './service-process';

/** Told in one line what the services do. */
export type ServiceLog = (message: string) => void;

export interface EmbeddedService {
  /** Resolves, with what happened, when the service has ended without having been asked to and is not started again. Never rejects. */
  readonly lost: Promise<DormouseError>;

  /** Ends the service in good order and resolves when none of its processes is left. Safe to call twice. */
  stop(): Promise<void>;
}

export interface ServiceLife {
  /** Starts the service, and resolves when it is ready. Called again after the service has ended by itself, if it is to be revived. */
  readonly start: () => Promise<ServiceProcess>;
  readonly workingDirectory: string;
  readonly log: ServiceLog;
  /** Whether a service that ends by itself is started again. Its address stays the same. */
  readonly revive: boolean;
  /** How often its log is looked at. Default: a minute. */
  readonly boundLogEveryMs?: number;
  /** Gives back, when all is over, what the service was started with. */
  readonly release: () => void;
}

/** A service that was well for this long has a new set of attempts. */
const wellAfterMs = 60_000;
/** So many starts in a row may fail, or end at once, before the service is given up. */
const mostAttempts = 5;
const firstPauseMs = 250;

/** Starts a service and keeps it running. @throws what the first start throws; nothing runs then */
export async function embeddedService(life: ServiceLife): Promise<EmbeddedService> {
  const kept = new KeptService(life, await life.start());
  let stopped: Promise<void> | undefined;
  return { lost: kept.lost, stop: () => (stopped ??= kept.stop()) };
}

class KeptService {
  readonly lost: Promise<DormouseError>;
  private stopping = false;
  private readonly over = new AbortController();
  private reviving: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly life: ServiceLife,
    private current: ServiceProcess,
  ) {
    this.lost = this.keep();
    void this.boundLogs();
  }

  async stop(): Promise<void> {
    this.stopping = true;
    try {
      await this.reviving;
      await this.current.stop();
      // What it forked ends by itself when it had to be killed, a moment later.
      await untilNoProcessIn(this.life.workingDirectory);
    } finally {
      this.over.abort();
      this.life.release();
    }
  }

  /** What a service complains of all day would fill the disk. */
  private async boundLogs(): Promise<void> {
    const { boundLogEveryMs = 60_000, log } = this.life;
    const { signal } = this.over;
    while (!signal.aborted) {
      // Nobody waits for this: it keeps no process alive, and the end of the service ends it.
      await sleep(boundLogEveryMs, undefined, { signal, ref: false }).catch(() => undefined);
      if (!signal.aborted) await this.current.boundLog().catch((error: unknown) => log(describeError(error).message));
    }
  }

  private async keep(): Promise<DormouseError> {
    for (let attempts = 0; ;) {
      const startedMs = performance.now();
      const end = await this.current.lost;
      if (performance.now() - startedMs > wellAfterMs) attempts = 0;
      for (let alive = false; !alive;) {
        if (!this.life.revive || this.stopping || attempts === mostAttempts) return end;
        const pauseMs = firstPauseMs * 2 ** attempts++;
        this.life.log(`${end.message}\nIt is started again in ${pauseMs} ms`);
        const revived = this.revive(pauseMs);
        this.reviving = revived;
        alive = await revived;
      }
    }
  }

  /** @returns whether it runs again */
  private async revive(pauseMs: number): Promise<boolean> {
    await sleep(pauseMs);
    if (this.stopping) return false;
    try {
      // What it had forked must not meet its successor.
      await untilNoProcessIn(this.life.workingDirectory);
      this.current = await this.life.start();
      return true;
    } catch (error) {
      this.life.log(`it could not be started again: ${describeError(error).message}`);
      return false;
    }
  }
}

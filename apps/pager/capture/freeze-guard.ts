import { EventEmitter, once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeError, isDormouseError } from '@dormouse/errors';
import { limits } from '@dormouse/limits';
import { QmpClient, socketIn, socketNames, thawMachine } from '@dormouse/qemu';

const tryAgainMs = 1_000;

/**
 * Sees to it that a guest which was frozen for a save does not stand still for long, also when its worker hangs or has died: it hears
 * from QEMU when the guest stops, and lets it run again when nobody else has in time. Has a QMP of its own, since a worker that hangs
 * holds on to the other.
 */
export class FreezeGuard {
  private readonly disarmed = new AbortController();
  private readonly news = new EventEmitter();
  private timer: NodeJS.Timeout | undefined;
  private frozen = false;
  private thawing: Promise<void> | null = null;

  private constructor(
    private qmp: QmpClient | null,
    private readonly onOverdue: () => void,
  ) {
    qmp?.onEvent(({ event, data }) => {
      // Not when it merely stops: somebody may have paused it by hand.
      if (event === 'MIGRATION' && data['status'] === 'pre-switchover') this.froze();
      if (event === 'RESUME') this.runs();
    });
    qmp?.onClose(() => this.news.emit('over'));
  }

  /** @param onOverdue the guest stands still for too long, and is about to be let run */
  static async watch(onOverdue: () => void): Promise<FreezeGuard> {
    return new FreezeGuard(await connect([socketNames.guard, socketNames.monitor]), onOverdue);
  }

  /** Lets the guest run; tried for as long as QEMU does not answer. Resolves when it runs, is gone, or it was tried for long enough. */
  thaw(): Promise<void> {
    this.thawing ??= this.untilItRuns();
    return this.thawing;
  }

  /** The machine is to be let go frozen: from here on nobody but the worker lets its guest run. */
  disarm(): void {
    this.disarmed.abort();
    clearTimeout(this.timer);
    this.news.emit('over');
  }

  /** Resolves when the guest runs, its machine is gone, or the worker is to have it frozen. */
  async settled(): Promise<void> {
    if (this.frozen && !this.disarmed.signal.aborted && this.thawing === null) await once(this.news, 'over');
    await this.thawing;
    clearTimeout(this.timer);
    this.qmp?.close();
  }

  private froze(): void {
    this.frozen = true;
    this.timer ??= setTimeout(() => {
      this.onOverdue();
      void this.thaw();
      this.news.emit('over');
    }, limits.freezeWithoutWorker.ms);
  }

  private runs(): void {
    this.frozen = false;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.news.emit('over');
  }

  private async untilItRuns(): Promise<void> {
    const deadline = performance.now() + limits.thawWithoutWorker.ms;
    while (performance.now() < deadline && !this.disarmed.signal.aborted) {
      try {
        this.qmp ??= await connect([socketNames.guard, socketNames.monitor, socketNames.control]);
        if (this.qmp === null) return;
        // The worker may have told QEMU to go on with its switchover.
        await thawMachine(this.qmp, { switchesOver: true });
        return this.runs();
      } catch (error) {
        process.stderr.write(`the guest could not be thawed: ${describeError(error).message}\n`);
        if (isDormouseError(error, 'QMP_DISCONNECTED')) this.qmp = null; // gone, unless it takes another connection
      }
      await sleep(tryAgainMs);
    }
  }
}

/** Null when none can be had. A machine that was started by an older Dormouse has no socket for the guard. */
async function connect(sockets: readonly string[]): Promise<QmpClient | null> {
  for (const socket of sockets) {
    try {
      return await QmpClient.connect(socketIn('.', socket));
    } catch (error) {
      if (!isDormouseError(error)) throw error;
      process.stderr.write(`the freeze cannot be guarded by ${socket}: ${error.message}\n`);
    }
  }
  return null;
}

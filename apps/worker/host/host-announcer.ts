import { setTimeout as sleep } from 'node:timers/promises';
import { isDormouseError, type DormouseError } from '@dormouse/errors';
import type { JsonObject } from '@dormouse/session';
import type { WorkerContext } from '../worker-context';
import type { HostWatch } from './host-watch';

const everyMs = 5_000;
/** A host whose past is still heard of: so often it is looked whether that has fallen silent. */
const lookEveryMs = 1_000;

/**
 * Says every few seconds that this host is served, and hears what operators want of it. One that was fenced was taken for dead, and its
 * desktops may live elsewhere by now: what still runs here is ended before anything else.
 */
export class HostAnnouncer {
  /** Resolves when this process may not speak for the host any more: the name is another machine's. */
  readonly lost: Promise<DormouseError>;
  private lose!: (error: DormouseError) => void;
  private timer: NodeJS.Timeout | null = null;

  constructor(
    private readonly context: Pick<WorkerContext, 'hostId' | 'ledger' | 'hypervisor' | 'logger'>,
    private readonly capabilities: JsonObject,
    private readonly watch: Pick<HostWatch, 'troubles' | 'onChange'>,
  ) {
    this.lost = new Promise((resolve) => {
      this.lose = resolve;
    });
  }

  /** Resolves when it has been said for the first time. @throws HOST_ID_TAKEN */
  async start(): Promise<void> {
    await this.announceFirst();
    this.timer = setInterval(() => this.announceAgain(), everyMs);
    this.watch.onChange = () => this.announceAgain();
  }

  stop(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.watch.onChange = () => undefined;
  }

  private announceAgain(): void {
    this.announce().catch((error: unknown) => {
      if (isDormouseError(error, 'HOST_ID_TAKEN')) this.lose(error);
      else this.context.logger.warn({ err: error }, 'the host could not be announced; tried again shortly');
    });
  }

  /**
   * After a restart of the machine, or of its container, the ledger has heard of this host a moment ago. Only when nothing more is
   * heard of it is it certain that nobody else speaks for it.
   */
  private async announceFirst(): Promise<void> {
    for (let seenAt: unknown = null; ; await sleep(lookEveryMs)) {
      try {
        return await this.announce();
      } catch (error) {
        if (!isDormouseError(error, 'HOST_ID_TAKEN') || error.details['waits'] !== true) throw error;
        if (seenAt !== null && error.details['seenAt'] !== seenAt) throw error;
        if (seenAt === null) {
          const { logger, hostId } = this.context;
          logger.warn(
            `${hostId} was heard from before this machine or container started: waiting until that is certainly over`,
          );
        }
        seenAt = error.details['seenAt'];
      }
    }
  }

  private async announce(): Promise<void> {
    const { hostId, ledger } = this.context;
    const intent = await ledger.announceHost({
      id: hostId,
      capabilities: this.capabilities,
      troubles: this.watch.troubles,
    });
    if (intent === 'fenced') await this.endAll();
  }

  private async endAll(): Promise<void> {
    const { hostId, hypervisor, ledger, logger } = this.context;
    const machines = await hypervisor.machines();
    logger.error({ hostId, machines }, 'this host was fenced: the machines it still runs are ended');
    for (const desktopId of machines) await hypervisor.release(desktopId);
    await ledger.hostCleared(hostId);
  }
}

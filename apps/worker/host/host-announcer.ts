import type { JsonObject } from '@dormouse/session';
import type { WorkerContext } from '../worker-context';

const everyMs = 5_000;

/**
 * Says every few seconds that this host is served, and hears what operators want of it. One that was fenced was taken for dead, and its
 * desktops may live elsewhere by now: what still runs here is ended before anything else.
 */
export class HostAnnouncer {
  private timer: NodeJS.Timeout | null = null;

  constructor(
    private readonly context: Pick<WorkerContext, 'hostId' | 'ledger' | 'hypervisor' | 'logger'>,
    private readonly capabilities: JsonObject,
  ) {}

  /** Resolves when it has been said for the first time. */
  async start(): Promise<void> {
    await this.announce();
    this.timer = setInterval(() => {
      this.announce().catch((error: unknown) => {
        this.context.logger.warn({ err: error }, 'the host could not be announced; tried again shortly');
      });
    }, everyMs);
  }

  stop(): void {
    if (this.timer !== null) clearInterval(this.timer);
  }

  private async announce(): Promise<void> {
    const { hostId, ledger } = this.context;
    const intent = await ledger.announceHost({ id: hostId, capabilities: this.capabilities });
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

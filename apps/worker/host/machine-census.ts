import { isDormouseError } from '@dormouse/errors';
import type { DesktopView } from '@dormouse/ledger';
import type { WorkerContext } from '../worker-context';

const everyMs = 5_000;
const pageSize = 200;

/** States in which the ledger believes that a machine is running on its host. */
const believedRunning = new Set(['running', 'grace', 'save-failed']);
/** States in which there is none. */
const believedAbsent = new Set(['off', 'saved', 'restore-blocked']);

/**
 * Compares what the ledger believes of this host's machines with what is really there, at start and every few seconds,
 * and reports the difference. Desktops with an open operation are its worker's business.
 */
export class MachineCensus {
  private timer: NodeJS.Timeout | null = null;
  private counting: Promise<void> = Promise.resolve();

  constructor(private readonly context: WorkerContext) {}

  async start(): Promise<void> {
    await this.count();
    this.timer = setInterval(() => {
      this.counting = this.count().catch((error: unknown) => {
        this.context.logger.warn({ err: error }, 'the machines could not be counted; tried again shortly');
      });
    }, everyMs);
  }

  async stop(): Promise<void> {
    if (this.timer !== null) clearInterval(this.timer);
    await this.counting;
  }

  private async count(): Promise<void> {
    const { hypervisor, ledger, hostId, logger } = this.context;
    for await (const desktop of this.desktopsOfHost()) {
      if (desktop.operation !== null) continue;
      // Looked at after the row was read: an older sight would make a machine that has just booted look lost.
      const alive = await hypervisor.isAlive(desktop.id);
      const surprising = alive ? believedAbsent.has(desktop.state) : believedRunning.has(desktop.state);
      if (!surprising) continue;
      const observed = alive ? 'running' : 'absent';
      logger.warn(
        { desktopId: desktop.id, hostId, state: desktop.state, observed },
        'a machine is not what it should be',
      );
      await ledger.reportMachine(desktop.id, observed);
    }
  }

  private async *desktopsOfHost(): AsyncIterable<DesktopView> {
    const { ledger, hostId } = this.context;
    let cursor: string | null = null;
    do {
      const page: Awaited<ReturnType<typeof ledger.listDesktops>> = await ledger.listDesktops({
        cursor,
        limit: pageSize,
      });
      for (const { id, hostId: where } of page.items) {
        if (where !== hostId) continue;
        // Read once more: an operation may have opened since the page was read.
        const desktop = await ledger.viewDesktop(id).catch((error: unknown) => {
          if (isDormouseError(error, 'DESKTOP_UNKNOWN')) return null; // deleted meanwhile
          throw error;
        });
        if (desktop !== null) yield desktop;
      }
      cursor = page.nextCursor;
    } while (cursor !== null);
  }
}

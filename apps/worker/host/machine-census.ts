import { isDormouseError } from '@dormouse/errors';
import type { WorkerContext } from '../worker-context';

const everyMs = 5_000;

/** States in which the ledger believes that a machine is running on its host. */
const believedRunning = new Set(['running', 'grace', 'save-failed']);
/** States in which there is none. */
const believedAbsent = new Set(['off', 'saved', 'restore-blocked']);

/**
 * Compares what the ledger believes of this host's machines with what is really there, at start and every few seconds,
 * and reports the difference. Desktops with an open operation are its worker's business. Looks at those that have a machine, or are
 * believed to: however many sleep, they cost nothing.
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
    const { hypervisor, ledger, hostId } = this.context;
    const believed = await ledger.desktopsWithMachine(hostId);
    const known = new Set(believed.map(({ id }) => id));
    // Of hundreds that run, as they should, none is asked the ledger for again.
    for (const { id, state } of believed) {
      if (believedRunning.has(state) && !(await hypervisor.isAlive(id))) await this.compare(id);
    }
    for (const id of await hypervisor.machines()) if (!known.has(id)) await this.compare(id);
  }

  private async compare(desktopId: string): Promise<void> {
    const { hypervisor, ledger, hostId, logger, metrics } = this.context;
    const desktop = await ledger.viewDesktop(desktopId).catch((error: unknown) => {
      if (isDormouseError(error, 'DESKTOP_UNKNOWN')) return null; // deleted meanwhile
      throw error;
    });
    if (desktop === null || desktop.operation !== null) return;
    if (desktop.hostId !== hostId) {
      // Which of the two is the user's only a person can tell: nothing is ended here.
      logger.error(
        { desktopId, hostId, elsewhere: desktop.hostId },
        'a machine runs here whose desktop is on another host',
      );
      return;
    }
    // Looked at after the row was read: an older sight would make a machine that has just booted look lost.
    const alive = await hypervisor.isAlive(desktopId);
    const surprising = alive ? believedAbsent.has(desktop.state) : believedRunning.has(desktop.state);
    if (!surprising) return;
    const observed = alive ? 'running' : 'absent';
    logger.warn({ desktopId, hostId, state: desktop.state, observed }, 'a machine is not what it should be');
    metrics.repairs.inc({ repair: `machine-${observed}` });
    await ledger.reportMachine(desktopId, observed);
  }
}

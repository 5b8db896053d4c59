import { isDormouseError } from '@dormouse/errors';
import type { GuestReport } from '@dormouse/hypervisor';
import type { DesktopView } from '@dormouse/views';
import type { WorkerContext } from '../worker-context';

const everyMs = 5_000;

/** States in which the ledger believes that a machine is running on its host. */
const believedRunning = new Set(['running', 'grace', 'save-failed']);
/** States in which there is none. */
const believedAbsent = new Set(['off', 'saved', 'restore-blocked']);

/**
 * Compares what the ledger believes of this host's machines with what is really there, at start and every few seconds,
 * and reports the difference. Desktops with an open operation are its worker's business. Looks at those that have a machine, or are
 * believed to: however many sleep, they cost nothing. It listens to what QEMU says of each guest, and looks at once when one shuts down.
 */
export class MachineCensus {
  private timer: NodeJS.Timeout | null = null;
  private counting: Promise<void> = Promise.resolve();
  private stopListening = (): void => undefined;

  constructor(private readonly context: WorkerContext) {}

  async start(): Promise<void> {
    this.stopListening = this.context.hypervisor.onGuestReport((report) => this.hear(report));
    await this.count();
    this.timer = setInterval(() => this.inTurn(() => this.count()), everyMs);
  }

  async stop(): Promise<void> {
    if (this.timer !== null) clearInterval(this.timer);
    this.stopListening();
    await this.counting;
  }

  private hear({ desktopId, condition }: GuestReport): void {
    if (condition === 'shut-down') this.inTurn(() => this.compare(desktopId));
  }

  private inTurn(look: () => Promise<void>): void {
    this.counting = this.counting.then(look).catch((error: unknown) => {
      this.context.logger.warn({ err: error }, 'the machines could not be counted; tried again shortly');
    });
  }

  private async count(): Promise<void> {
    const { hypervisor, ledger, hostId } = this.context;
    const believed = await ledger.desktopsWithMachine(hostId);
    const known = new Set(believed.map(({ id }) => id));
    // Of hundreds that run, as they should, none is asked the ledger for again.
    for (const { id, state } of believed) {
      const asItShouldBe = (await hypervisor.isAlive(id)) && hypervisor.guestReport(id)?.condition !== 'shut-down';
      if (believedRunning.has(state) && !asItShouldBe) await this.compare(id);
    }
    for (const id of await hypervisor.machines()) {
      hypervisor.follow(id);
      if (!known.has(id)) await this.compare(id);
    }
    for (const id of hypervisor.prepared()) await this.checkPrepared(id);
    await hypervisor.boundLogs();
  }

  /** A desktop that has gone to another host, or sleeps no more, leaves no machine in waiting here. */
  private async checkPrepared(desktopId: string): Promise<void> {
    const { hypervisor, hostId, logger } = this.context;
    const desktop = await this.find(desktopId);
    if (desktop?.hostId === hostId && (desktop.operation !== null || desktop.state === 'saved')) return;
    await hypervisor.unprepare(desktopId);
    logger.info(
      { desktopId, hostId },
      'the machine that waited for its wake has ended: the desktop sleeps here no more',
    );
  }

  private find(desktopId: string): Promise<DesktopView | null> {
    return this.context.ledger.viewDesktop(desktopId).catch((error: unknown) => {
      if (isDormouseError(error, 'DESKTOP_UNKNOWN')) return null; // deleted meanwhile
      throw error;
    });
  }

  private async compare(desktopId: string): Promise<void> {
    const { hypervisor, ledger, hostId, logger, metrics } = this.context;
    const desktop = await this.find(desktopId);
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
    if (alive && believedRunning.has(desktop.state) && (await hypervisor.condition(desktopId)) === 'shut-down') {
      await hypervisor.release(desktopId);
      logger.info({ desktopId, hostId }, 'the guest has shut down');
      await ledger.reportMachine(desktopId, 'shut-down');
      return;
    }
    const surprising = alive ? believedAbsent.has(desktop.state) : believedRunning.has(desktop.state);
    if (!surprising) return;
    const observed = alive ? 'running' : 'absent';
    logger.warn({ desktopId, hostId, state: desktop.state, observed }, 'a machine is not what it should be');
    metrics.repairs.inc({ repair: `machine-${observed}` });
    await ledger.reportMachine(desktopId, observed);
  }
}

import type { GuestReport } from '@dormouse/hypervisor';
import { guestConditions, machineStates, type GuestCondition } from '@dormouse/session';
import type { WorkerContext } from '../worker-context';

/** A guest that a disk has stopped is told to go on, at first after this, and each time twice as late. */
const retryMs = { first: 2_000, most: 60_000 } as const;
/** Whether somebody has come to a guest that has suspended itself. */
const presenceEveryMs = 1_000;

/**
 * What QEMU says of this host's guests reaches their desktops, the log and the metrics. A guest that stands still because of a disk is told to go on
 * until it can; one that has suspended itself is woken for its user.
 */
export class GuestConditions {
  private readonly conditions = new Map<string, GuestCondition>();
  private readonly timers = new Map<string, NodeJS.Timeout>();
  private reporting: Promise<void> = Promise.resolve();
  private stopListening = (): void => undefined;

  constructor(private readonly context: WorkerContext) {}

  start(): void {
    this.stopListening = this.context.hypervisor.onGuestReport((report) => this.hear(report));
  }

  async stop(): Promise<void> {
    this.stopListening();
    for (const timer of this.timers.values()) clearTimeout(timer);
    this.timers.clear();
    await this.reporting;
  }

  private hear(report: GuestReport): void {
    const { desktopId, about } = report;
    const kind = kept(report.condition);
    const before = this.conditions.get(desktopId);
    clearTimeout(this.timers.get(desktopId));
    this.timers.delete(desktopId);
    if (kind === null) this.conditions.delete(desktopId);
    else this.conditions.set(desktopId, kind);
    this.count();
    const { logger, metrics, ledger, hostId } = this.context;
    if (kind !== null) {
      metrics.guestReports.inc({ condition: kind });
      const log = kind === 'suspended' || kind === 'paused' ? logger.info : logger.error;
      log.call(logger, { desktopId, hostId, condition: kind, about }, `the guest is ${kind}`);
    } else if (before !== undefined) {
      logger.info({ desktopId, hostId, condition: before }, 'the guest goes on');
    }
    this.attend(desktopId, kind, retryMs.first);
    const condition = kind && { kind, about };
    this.reporting = this.reporting
      .then(() => ledger.reportCondition({ desktopId, hostId }, condition))
      .catch((error: unknown) => {
        logger.warn({ err: error, desktopId }, 'what QEMU says of the guest could not be noted');
      });
  }

  private count(): void {
    for (const condition of guestConditions) {
      const guests = [...this.conditions.values()].filter((one) => one === condition).length;
      this.context.metrics.guestConditions.set({ condition }, guests);
    }
  }

  /** Looks after it later, for as long as it is so. */
  private attend(desktopId: string, kind: GuestCondition | null, afterMs: number): void {
    if (kind !== 'io-error' && kind !== 'suspended') return;
    const waitMs = kind === 'suspended' ? presenceEveryMs : afterMs;
    const timer = setTimeout(() => {
      this.lookAfter(desktopId, kind)
        .catch((error: unknown) => {
          this.context.logger.warn({ err: error, desktopId }, `the guest is ${kind} and could not be told to go on`);
        })
        .finally(() => {
          const isStillSo = this.timers.get(desktopId) === timer && this.conditions.get(desktopId) === kind;
          if (isStillSo) this.attend(desktopId, kind, Math.min(afterMs * 2, retryMs.most));
        });
    }, waitMs);
    this.timers.set(desktopId, timer);
  }

  private async lookAfter(desktopId: string, kind: 'io-error' | 'suspended'): Promise<void> {
    const { hypervisor, ledger, logger } = this.context;
    if (!(await hypervisor.isAlive(desktopId))) return void this.conditions.delete(desktopId);
    const desktop = await ledger.viewDesktop(desktopId);
    if (machineStates[desktop.state].machine !== 'live') return;
    if (kind === 'suspended') {
      if (desktop.presence.connections.length === 0) return;
      logger.info({ desktopId }, 'a user is there: the guest that had suspended itself is woken');
    }
    await hypervisor.rouse(desktopId);
  }
}

function kept(condition: GuestReport['condition']): GuestCondition | null {
  return condition === 'well' || condition === 'shut-down' ? null : condition;
}

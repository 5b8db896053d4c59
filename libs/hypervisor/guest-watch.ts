import { QmpClient, socketNames } from '@dormouse/qemu';
import type { GuestCondition, GuestReport } from './hypervisor';
import type { RunDirectory } from './run-directory';

/** Events after which a guest may be another than before. */
const telling: ReadonlySet<string> = new Set([
  ...['SHUTDOWN', 'STOP', 'RESUME', 'RESET', 'SUSPEND', 'SUSPEND_DISK', 'WAKEUP'],
  ...['BLOCK_IO_ERROR', 'GUEST_PANICKED', 'WATCHDOG'],
]);

/** QEMU's run states that say more of a guest than that it runs, or that Dormouse itself has stopped it. */
const conditions: Readonly<Record<string, GuestCondition>> = {
  shutdown: 'shut-down',
  suspended: 'suspended',
  paused: 'paused',
  'io-error': 'io-error',
  'guest-panicked': 'panicked',
  'internal-error': 'failed',
  watchdog: 'watchdog',
};

interface Followed {
  qmp: QmpClient | null;
  last: GuestReport | null;
  /** Of the last event that said why. */
  about: string | null;
}

/**
 * Listens to what QEMU says of the guests of this host, on a socket of its own. One process at a time hears a machine: whoever comes second
 * waits until the first one is gone.
 */
export class GuestWatch {
  private readonly followed = new Map<string, Followed>();
  private readonly listeners = new Set<(report: GuestReport) => void>();
  private closed = false;

  /** Returns at once. A machine that cannot be heard, or not any more, is no longer followed. */
  follow(directory: RunDirectory): void {
    const { desktopId } = directory;
    if (this.closed || this.followed.has(desktopId)) return;
    const one: Followed = { qmp: null, last: null, about: null };
    this.followed.set(desktopId, one);
    this.listen(directory, one).catch(() => this.lose(desktopId, one));
  }

  last(desktopId: string): GuestReport | null {
    return this.followed.get(desktopId)?.last ?? null;
  }

  onReport(listener: (report: GuestReport) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  close(): void {
    this.closed = true;
    for (const [desktopId, one] of this.followed) this.lose(desktopId, one);
    this.listeners.clear();
  }

  private async listen(directory: RunDirectory, one: Followed): Promise<void> {
    const { desktopId } = directory;
    const qmp = await QmpClient.connect(directory.socket(socketNames.events));
    if (this.followed.get(desktopId) !== one) return qmp.close();
    one.qmp = qmp;
    qmp.onClose(() => this.lose(desktopId, one));
    let looking = Promise.resolve();
    const look = (): Promise<void> => (looking = looking.then(() => this.look(desktopId, one, qmp)));
    qmp.onEvent(({ event, data }) => {
      if (event === 'BLOCK_IO_ERROR') one.about = ioErrorInWords(data);
      if (telling.has(event)) look().catch(() => this.lose(desktopId, one));
    });
    await look();
  }

  private async look(desktopId: string, one: Followed, qmp: QmpClient): Promise<void> {
    const { status } = await qmp.execute<{ status: string }>('query-status');
    const condition = conditions[status] ?? 'well';
    if (one.last?.condition === condition) return;
    if (condition !== 'io-error') one.about = null;
    one.last = { desktopId, condition, about: one.about };
    for (const listener of this.listeners) listener(one.last);
  }

  private lose(desktopId: string, one: Followed): void {
    if (this.followed.get(desktopId) === one) this.followed.delete(desktopId);
    one.qmp?.close();
  }
}

/** QAPI BLOCK_IO_ERROR. */
function ioErrorInWords({ operation, reason, nospace, 'node-name': node }: Readonly<Record<string, unknown>>): string {
  const said = (one: unknown, otherwise: string): string => (typeof one === 'string' && one !== '' ? one : otherwise);
  const why = nospace === true ? 'there is no room left' : said(reason, 'QEMU does not say why');
  return `${said(operation, 'use')} of ${said(node, 'a disk')}: ${why}`;
}

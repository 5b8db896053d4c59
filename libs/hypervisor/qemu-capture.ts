import { DormouseError } from '@dormouse/errors';
import type { CaptureStatus, PagerClient } from '@dormouse/pager-control';
import { pagerSockets } from '@dormouse/pager-control';
import { thawMachine, type QmpClient, type QmpEvent } from '@dormouse/qemu';
import type { Capture, CaptureFacts, CaptureProgress } from './hypervisor';

/**
 * QEMU stops the guest when it thinks the rest takes this long. Small, since the guest is frozen not only for QEMU's
 * rest but until the last of it is durable. While pages are missing that never came it is as small as can be: once they are
 * there the store catches up with the guest still running, and what was left then would have to catch up with it frozen.
 */
const downtimeLimitMs = { somePagesNeverCame: 1, allPagesCame: 50 } as const;
/** The pager's pace is the limit; QEMU's own default would throttle to 128 MiB/s. */
const maxBandwidthBytesPerSecond = 2 ** 40;

/** The guest runs on meanwhile; a busy host or a storage that fails needs more than a moment. */
const pagerSaysWhyMs = 2_000;

/** A save in progress: QEMU on one side, its pager on the other. */
export class QemuCapture implements Capture {
  private committed = false;
  private failure: DormouseError | null = null;
  private migration = 'none';
  private mayStop = false;
  private switchesOver = false;
  private readonly waiting = new Set<() => void>();
  frozenAtMs = 0;

  private constructor(
    private readonly qmp: QmpClient,
    private readonly pager: PagerClient<CaptureStatus>,
  ) {
    qmp.onEvent((event) => this.hear(event));
    qmp.onClose((error) => this.fail(error));
  }

  /** Runs the live phase; resolves when the guest is frozen. What fails or is aborted before leaves it running. */
  static async begin(
    qmp: QmpClient,
    pager: PagerClient<CaptureStatus>,
    { signal, onProgress }: { signal: AbortSignal; onProgress: (progress: CaptureProgress) => void },
  ): Promise<QemuCapture> {
    const capture = new QemuCapture(qmp, pager);
    const cancel = (): void => capture.fail(new DormouseError('CANCELLED', 'the save was cancelled'));
    signal.addEventListener('abort', cancel);
    const stopProgress = pager.onChange(({ streamBytes, arrivedBytes, ramBytes }) => {
      if (arrivedBytes === 0) return;
      onProgress({ streamBytes, arrivedBytes, ramBytes });
      if (arrivedBytes === ramBytes) capture.allPagesCame();
    });
    try {
      if (signal.aborted) cancel();
      // The pager's own error says why; QEMU would only notice that the socket closed.
      pager.reached('sealed', 'aborted').catch((error: DormouseError) => capture.fail(error));
      await qmp.execute('migrate-set-capabilities', {
        capabilities: [
          { capability: 'events', state: true },
          { capability: 'pause-before-switchover', state: true },
          { capability: 'postcopy-ram', state: false },
        ],
      });
      await qmp.execute('migrate-set-parameters', {
        'max-bandwidth': maxBandwidthBytesPerSecond,
        'downtime-limit': downtimeLimitMs.somePagesNeverCame,
      });
      await qmp.execute('migrate', { uri: `unix:${pagerSockets.capture}` });
      await capture.until('pre-switchover');
      return capture;
    } catch (error) {
      await capture.abandon();
      throw error;
    } finally {
      signal.removeEventListener('abort', cancel);
      stopProgress();
    }
  }

  async switchOver(): Promise<void> {
    if (this.failure !== null) throw this.failure; // before QEMU gives the disks away
    this.switchesOver = true;
    await this.qmp.execute('migrate-continue', { state: 'pre-switchover' });
    await this.until('completed');
    await this.pager.reached('sealed');
  }

  async commit(): Promise<CaptureFacts> {
    this.pager.send('commit');
    const status = await this.pager.reached('committed');
    this.committed = true;
    return {
      ramBytes: status.ramBytes,
      storedBytes: status.storedBytes,
      streamBytes: status.streamBytes,
      rawBytes: status.rawBytes,
      mapBytes: status.mapBytes,
      wakePackBytes: status.wakePackBytes,
      pages: status.pages ?? {},
      pagerPeakRssBytes: status.peakRssBytes,
    };
  }

  async abandon(): Promise<void> {
    try {
      // The guest first: its user may be waiting. Then what was stored for it.
      await thawMachine(this.qmp, { switchesOver: this.switchesOver });
      if (!this.committed) {
        this.pager.send('abort');
        await this.pager.reached('aborted').catch(() => undefined); // a pager that failed has cleaned up after itself
      }
    } finally {
      this.close();
    }
  }

  close(): void {
    this.pager.send('leave');
    this.pager.close();
    this.qmp.close();
  }

  private allPagesCame(): void {
    if (this.mayStop) return;
    this.mayStop = true;
    const parameters = { 'downtime-limit': downtimeLimitMs.allPagesCame };
    this.qmp.execute('migrate-set-parameters', parameters).catch((error: DormouseError) => this.fail(error));
  }

  private hear({ event, data, atMs }: QmpEvent): void {
    if (event === 'STOP') this.frozenAtMs = atMs;
    if (event === 'MIGRATION') {
      this.migration = String(data['status']);
      if (this.migration === 'failed' || this.migration === 'cancelled') {
        // If it was the pager, it says why as soon as it has cleared up.
        setTimeout(
          () => this.fail(new DormouseError('MIGRATION_FAILED', `QEMU’s migration has ${this.migration}`)),
          pagerSaysWhyMs,
        );
      }
    }
    this.wake();
  }

  private fail(error: DormouseError): void {
    this.failure ??= error;
    this.wake();
  }

  private async until(migration: string): Promise<void> {
    while (this.migration !== migration) {
      if (this.failure !== null) throw this.failure;
      await new Promise<void>((resolve) => this.waiting.add(resolve));
    }
  }

  private wake(): void {
    for (const resolve of this.waiting) resolve();
    this.waiting.clear();
  }
}

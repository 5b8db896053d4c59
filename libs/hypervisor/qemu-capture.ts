import { setTimeout as sleep } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import type { CaptureStatus, PagerClient } from '@dormouse/pager-control';
import { pagerSockets } from '@dormouse/pager-control';
import { unlessAborted } from '@dormouse/process';
import { thawMachine, type QmpClient, type QmpEvent } from '@dormouse/qemu';
import { setClockAfterThaw } from './guest-clock';
import type { Capture, CaptureFacts, CaptureProgress } from './hypervisor';
import type { RunDirectory } from './run-directory';

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
/** So long a thawed guest's user is kept waiting for what was stored to be removed. */
const clearUpMs = 2_000;

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
    private readonly directory: RunDirectory,
  ) {
    qmp.onEvent((event) => this.hear(event));
    qmp.onClose((error) => this.fail(error));
  }

  /** Runs the live phase; resolves when the guest is frozen. What fails or is aborted before leaves it running. */
  static async begin(
    { qmp, pager, directory }: { qmp: QmpClient; pager: PagerClient<CaptureStatus>; directory: RunDirectory },
    { signal, onProgress }: { signal: AbortSignal; onProgress: (progress: CaptureProgress) => void },
  ): Promise<QemuCapture> {
    const capture = new QemuCapture(qmp, pager, directory);
    const cancel = (): void => capture.fail(new DormouseError('CANCELLED', 'the save was cancelled'));
    signal.addEventListener('abort', cancel);
    const stopProgress = pager.onChange(({ streamBytes, arrivedBytes, ramBytes }) => {
      if (arrivedBytes === 0) return;
      onProgress({ streamBytes, arrivedBytes, ramBytes });
      if (arrivedBytes === ramBytes) capture.allPagesCame();
    });
    try {
      if (signal.aborted) cancel();
      const { status } = await qmp.execute<{ status: string }>('query-status');
      if (status === 'shutdown') throw new DormouseError('GUEST_SHUT_DOWN', 'the guest has shut down before its save');
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
      if (capture.failure !== null) throw capture.failure; // said in the same moment
      return capture;
    } catch (error) {
      await capture.abandon();
      throw error;
    } finally {
      signal.removeEventListener('abort', cancel);
      stopProgress();
    }
  }

  switchOver(signal: AbortSignal): Promise<void> {
    return unlessAborted(this.untilSealed(), signal);
  }

  async commit(signal: AbortSignal): Promise<CaptureFacts> {
    this.pager.send('commit');
    const status = await unlessAborted(this.pager.reached('committed'), signal);
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
      // A QEMU that waits for its pager to read on answers nobody until that has hung up.
      if (!this.committed) this.pager.send('abort');
      await thawMachine(this.qmp, { switchesOver: this.switchesOver });
      await Promise.all([this.clearedUp(), this.frozenAtMs === 0 ? null : setClockAfterThaw(this.directory)]);
    } finally {
      this.close();
    }
  }

  close(): void {
    this.pager.send('leave');
    this.pager.close();
    this.qmp.close();
  }

  private async untilSealed(): Promise<void> {
    if (this.failure !== null) throw this.failure; // before QEMU gives the disks away
    this.switchesOver = true;
    await this.qmp.execute('migrate-continue', { state: 'pre-switchover' });
    await this.until('completed');
    await this.pager.reached('sealed');
  }

  /** One that has failed has cleared up after itself; one that was told to commit does so. */
  private async clearedUp(): Promise<void> {
    if (this.committed) return;
    const ended = this.pager.reached('aborted', 'committed').catch(() => undefined);
    await Promise.race([ended, sleep(clearUpMs, undefined, { ref: false })]);
  }

  private allPagesCame(): void {
    if (this.mayStop) return;
    this.mayStop = true;
    const parameters = { 'downtime-limit': downtimeLimitMs.allPagesCame };
    this.qmp.execute('migrate-set-parameters', parameters).catch((error: DormouseError) => this.fail(error));
  }

  private hear({ event, data, atMs }: QmpEvent): void {
    if (event === 'STOP') this.frozenAtMs = atMs;
    if (event === 'SHUTDOWN')
      this.fail(new DormouseError('GUEST_SHUT_DOWN', 'the guest has shut down during its save'));
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

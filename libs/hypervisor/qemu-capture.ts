import { setTimeout as sleep } from 'node:timers/promises';
import { DormouseError, isDormouseError } from '@dormouse/errors';
import { limits, timedOut, within } from '@dormouse/limits';
import type { CaptureStatus, PagerClient } from '@dormouse/pager-control';
import { pagerSockets } from '@dormouse/pager-control';
import { processEnded, stopProcess, unlessAborted } from '@dormouse/process';
import { thawMachine, type QmpClient, type QmpEvent } from '@dormouse/qemu';
import { convergenceOf, throttle, type SaveLimits } from './convergence';
import { setClockAfterThaw } from './guest-clock';
import type { Capture, CaptureFacts, CaptureProgress } from './hypervisor';
import type { RunDirectory } from './run-directory';

/**
 * QEMU stops the guest when it thinks the rest takes this long. Small, since the guest is frozen not only for QEMU's
 * rest but until the last of it is durable. While pages are missing that never came it is as small as can be: once they are
 * there the store catches up with the guest still running, and what was left then would have to catch up with it frozen.
 */
const downtimeLimitMs = { somePagesNeverCame: 1, allPagesCame: 50, squeezed: 300 } as const;
/** The pager's pace is the limit; QEMU's own default would throttle to 128 MiB/s. */
const maxBandwidthBytesPerSecond = 2 ** 40;

/** The guest runs on meanwhile; a busy host or a storage that fails needs more than a moment. */
const pagerSaysWhyMs = 2_000;
/** How often QEMU is asked whether it is there, while nobody has anything else to ask it. */
const askQemuEveryMs = 5_000;
/** A pager that has said nothing for so long hangs, and so does a QEMU that writes to it: it says something every second. */
const hangsAfterMs = 2_000;
/** How often it is looked whether a save comes to an end, though its pager tells nothing new. */
const lookEveryMs = 1_000;
const figuresPatienceMs = 1_000;

/** Of `query-migrate`, what is told of a save that does not come to an end. */
interface MigrationFigures {
  readonly ram?: Partial<Readonly<Record<'dirty-pages-rate' | 'page-size' | 'dirty-sync-count', number>>>;
  readonly 'cpu-throttle-percentage'?: number;
}

export interface CaptureParts {
  readonly qmp: QmpClient;
  readonly pager: PagerClient<CaptureStatus>;
  readonly directory: RunDirectory;
  /** @throws MACHINE_CHANGED */
  readonly check: () => Promise<void>;
  readonly saveLimits: SaveLimits;
}

/** In which states of QEMU a guest must not be saved, and what to do. */
const unsaveable: Readonly<Record<string, string>> = {
  'io-error': 'a disk could not be written or read, and it stands still until that works again',
  'guest-panicked': 'it has panicked: stop the desktop, or reset it by monitor.sock',
  'internal-error': 'QEMU cannot go on with it: stop the desktop',
  watchdog: 'its watchdog has stopped it: stop the desktop, or reset it by monitor.sock',
};

/** Of a guest that may be saved as it is. @throws GUEST_SHUT_DOWN, GUEST_STOPPED */
export async function saveableStatus(qmp: QmpClient): Promise<string> {
  const { status } = await qmp.execute<{ status: string }>('query-status');
  if (status === 'shutdown') throw new DormouseError('GUEST_SHUT_DOWN', 'the guest has shut down before its save');
  const why = unsaveable[status];
  if (why !== undefined) throw new DormouseError('GUEST_STOPPED', `the guest is not saved: ${why}`, { status });
  return status;
}

/** A save in progress: QEMU on one side, its pager on the other. */
export class QemuCapture implements Capture {
  private committed = false;
  private failure: DormouseError | null = null;
  private migration = 'none';
  private paused = false;
  private switchesOver = false;
  private sentBytes = 0;
  private ramBytes = 0;
  /** Since when, and from which byte of QEMU's stream on, all that comes has come before. */
  private again: { readonly sinceMs: number; readonly fromBytes: number } | null = null;
  private squeezed = false;
  private givenUp = false;
  private readonly waiting = new Set<() => void>();
  private readonly failing = new AbortController();
  private freezeTimer: NodeJS.Timeout | undefined;
  /** Its reason: why the save cannot go on. */
  readonly failed = this.failing.signal;
  frozenAtMs = 0;

  private constructor(
    private readonly qmp: QmpClient,
    private readonly pager: PagerClient<CaptureStatus>,
    private readonly directory: RunDirectory,
    private readonly check: () => Promise<void>,
    private readonly saveLimits: SaveLimits,
  ) {
    qmp.onEvent((event) => this.hear(event));
    qmp.onClose((error) => this.fail(error));
  }

  /** Runs the live phase; resolves when the guest is frozen. What fails or is aborted before leaves it running. */
  static async begin(
    { qmp, pager, directory, check, saveLimits }: CaptureParts,
    { signal, onProgress }: { signal: AbortSignal; onProgress: (progress: CaptureProgress) => void },
  ): Promise<QemuCapture> {
    const capture = new QemuCapture(qmp, pager, directory, check, saveLimits);
    const cancel = (): void => capture.fail(new DormouseError('CANCELLED', 'the save was cancelled'));
    signal.addEventListener('abort', cancel);
    const stopProgress = pager.onChange(({ streamBytes, arrivedBytes, ramBytes }) => {
      if (arrivedBytes === 0) return;
      onProgress({ streamBytes, arrivedBytes, ramBytes });
      [capture.sentBytes, capture.ramBytes] = [streamBytes, ramBytes];
      if (arrivedBytes === ramBytes) capture.allPagesCame();
      capture.look();
    });
    const watching = setInterval(() => void capture.askQemu(), askQemuEveryMs);
    const looking = setInterval(() => capture.look(), lookEveryMs);
    try {
      if (signal.aborted) cancel();
      capture.paused = (await saveableStatus(qmp)) === 'paused';
      await directory.recordPaused(capture.paused);
      // The pager's own error says why; QEMU would only notice that the socket closed.
      pager.reached('sealed', 'aborted').catch((error: DormouseError) => capture.fail(error));
      await capture.migrate();
      return capture;
    } catch (error) {
      await capture.abandon();
      throw error;
    } finally {
      clearInterval(watching);
      clearInterval(looking);
      signal.removeEventListener('abort', cancel);
      stopProgress();
    }
  }

  /** Resolves when the guest is frozen. */
  private async migrate(): Promise<void> {
    const { qmp } = this;
    const start = async (): Promise<void> => {
      await qmp.execute('migrate-set-capabilities', {
        capabilities: [
          { capability: 'events', state: true },
          { capability: 'pause-before-switchover', state: true },
          { capability: 'postcopy-ram', state: false },
          { capability: 'auto-converge', state: true },
        ],
      });
      await qmp.execute('migrate-set-parameters', {
        'max-bandwidth': maxBandwidthBytesPerSecond,
        'downtime-limit': downtimeLimitMs.somePagesNeverCame,
        ...throttle.none,
      });
      await qmp.execute('migrate', { uri: `unix:${pagerSockets.capture}` });
    };
    await unlessAborted(start(), this.failed);
    await this.until('pre-switchover');
    if (this.failure !== null) throw this.failure; // said in the same moment
    if (this.frozenAtMs === 0) this.frozenAtMs = performance.now(); // it stood still before, and nobody was told of a stop
    await unlessAborted(this.check(), this.failed); // what was plugged in while the memory was stored
  }

  switchOver(signal: AbortSignal): Promise<void> {
    return unlessAborted(this.untilSealed(), AbortSignal.any([signal, this.failed]));
  }

  async commit(signal: AbortSignal): Promise<CaptureFacts> {
    this.pager.send('commit');
    const status = await unlessAborted(this.pager.reached('committed'), AbortSignal.any([signal, this.failed]));
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
      paused: this.paused,
    };
  }

  async abandon(): Promise<void> {
    try {
      // A QEMU that waits for its pager to read on answers nobody until that has hung up.
      if (!this.committed) this.pager.send('abort');
      await this.thaw();
      await Promise.all([
        this.clearedUp(),
        this.frozenAtMs === 0 || this.paused ? null : setClockAfterThaw(this.directory),
      ]);
      this.close();
    } catch (error) {
      // The pager, left alone, goes on trying to thaw the guest.
      this.hangUp();
      throw error;
    }
  }

  async conclude(): Promise<void> {
    clearTimeout(this.freezeTimer);
    this.pager.send('leave');
    this.pager.close();
    await this.pagerGone();
    const { running } = await this.qmp.execute<{ running: boolean }>('query-status');
    if (running) throw timedOut('freezeWithoutWorker');
    this.qmp.close();
  }

  close(): void {
    this.pager.send('leave');
    this.hangUp();
  }

  private hangUp(): void {
    clearTimeout(this.freezeTimer);
    this.pager.close();
    this.qmp.close();
  }

  private async thaw(): Promise<void> {
    const how = { switchesOver: this.switchesOver, staysPaused: this.paused };
    try {
      await within('qmpThaw', thawMachine(this.qmp, how));
    } catch (error) {
      if (!isDormouseError(error, 'MACHINE_SILENT')) throw error;
      // One that lives has hung up, and lets the guest run as soon as QEMU answers it.
      if (this.pager.silentMs >= hangsAfterMs) await this.killPager();
      await thawMachine(this.qmp, how);
    }
  }

  private async killPager(): Promise<void> {
    const pager = await this.directory.liveProcess('pager');
    if (pager !== null) await stopProcess(pager, { signal: 'SIGKILL' });
  }

  private async pagerGone(): Promise<void> {
    const pager = await this.directory.liveProcess('pager');
    if (pager === null || (await processEnded(pager, limits.pagerEnd.ms))) return;
    await stopProcess(pager, { signal: 'SIGKILL' });
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
    await Promise.race([ended, sleep(limits.clearUp.ms, undefined, { ref: false })]);
  }

  private allPagesCame(): void {
    if (this.again !== null) return;
    this.again = { sinceMs: performance.now(), fromBytes: this.sentBytes };
    this.set({ 'downtime-limit': downtimeLimitMs.allPagesCame });
  }

  /** Whether the guest writes to its memory faster than that is stored, and what to do about it. */
  private look(): void {
    if (this.again === null || this.givenUp) return;
    const { sinceMs, fromBytes } = this.again;
    const again = { againBytes: this.sentBytes - fromBytes, sinceMs: performance.now() - sinceMs };
    const verdict = convergenceOf({ ramBytes: this.ramBytes, ...again }, this.saveLimits);
    if (verdict === 'give up') {
      this.givenUp = true;
      void this.notConverging().then((error) => this.fail(error));
    } else if (verdict === 'squeeze' && !this.squeezed) {
      this.squeezed = true;
      this.set({ ...throttle.squeezed, 'downtime-limit': downtimeLimitMs.squeezed });
    }
  }

  private async notConverging(): Promise<DormouseError> {
    const { sinceMs, fromBytes } = this.again!;
    const seconds = Math.max(1, Math.round((performance.now() - sinceMs) / 1_000));
    const perSecond = Math.round((this.sentBytes - fromBytes) / seconds);
    // A QEMU that waits for its pager may not answer; the save ends all the same.
    const asked = this.qmp.execute<MigrationFigures>('query-migrate').catch(() => null);
    const known = await Promise.race([asked, sleep(figuresPatienceMs, null, { ref: false })]);
    const figures = {
      seconds,
      streamBytes: this.sentBytes,
      ramBytes: this.ramBytes,
      storedBytesPerSecond: perSecond,
      dirtiedBytesPerSecond: (known?.ram?.['dirty-pages-rate'] ?? 0) * (known?.ram?.['page-size'] ?? 0),
      passes: known?.ram?.['dirty-sync-count'] ?? 0,
      throttledPercent: known?.['cpu-throttle-percentage'] ?? 0,
    };
    return new DormouseError(
      'NOT_CONVERGING',
      `the guest writes to its memory faster than that is stored: about ${mebibytes(figures.dirtiedBytesPerSecond)} MiB a second ` +
        `against ${mebibytes(perSecond)}, in ${figures.passes} passes and ${seconds} s since all of it had been stored once, ` +
        `though the guest was slowed down by ${figures.throttledPercent} % in the end; the guest runs on at full speed`,
      figures,
    );
  }

  private set(parameters: Readonly<Record<string, number>>): void {
    this.qmp.execute('migrate-set-parameters', parameters).catch((error: DormouseError) => this.fail(error));
  }

  private hear({ event, data }: QmpEvent): void {
    if (event === 'STOP') this.frozenAtMs = performance.now();
    if (event === 'SHUTDOWN')
      this.fail(new DormouseError('GUEST_SHUT_DOWN', 'the guest has shut down during its save'));
    if ((event === 'BLOCK_IO_ERROR' && data['action'] === 'stop') || event === 'GUEST_PANICKED') {
      this.fail(new DormouseError('GUEST_STOPPED', `the guest has stopped during its save: ${event}`));
    }
    if (event === 'SUSPEND') {
      this.fail(
        new DormouseError('GUEST_STOPPED', 'the guest has suspended itself during its save; it is tried again'),
      );
    }
    if (event === 'MIGRATION') {
      this.migration = String(data['status']);
      if (this.migration === 'pre-switchover') this.froze();
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

  /** From here to the commit a limit holds, whatever is waited for. */
  private froze(): void {
    this.freezeTimer ??= setTimeout(() => this.fail(timedOut('freeze')), limits.freeze.ms);
  }

  /** The pager says every second that it is there; QEMU is asked. */
  private async askQemu(): Promise<void> {
    await this.qmp.execute('query-status').catch((error: DormouseError) => this.fail(error));
  }

  private fail(error: DormouseError): void {
    this.failure ??= error;
    this.failing.abort(this.failure);
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

function mebibytes(bytes: number): number {
  return Math.round(bytes / 2 ** 20);
}

import { isDormouseError } from '@dormouse/errors';
import type { PagerClient, ServeStatus } from '@dormouse/pager-control';
import type { Wake, WakeProgress } from './hypervisor';

/** Pagers in a row that died within this time: another would die too. */
const mostFruitlessPagers = 5;
const fruitlessMs = 1_000;

/** A machine that runs while its pager brings the rest of its memory. A pager that dies is replaced. */
export class QemuWake implements Wake {
  private readonly complete: Promise<ServeStatus>;
  private onProgress: (progress: WakeProgress) => void = () => undefined;
  private current: PagerClient<ServeStatus> | null = null;
  /** What the last pager has said. */
  private last: ServeStatus | null = null;
  private died = 0;
  private watched = true;
  readonly machine: Wake['machine'];
  readonly machineWaited: Wake['machineWaited'];

  /** @param nextPager starts a pager that goes on with the machine of one that died; null when there is nothing left to do */
  constructor(
    private pager: PagerClient<ServeStatus> | null,
    private readonly nextPager: () => Promise<PagerClient<ServeStatus> | null>,
    { machine, machineWaited }: Pick<Wake, 'machine' | 'machineWaited'>,
  ) {
    [this.machine, this.machineWaited] = [machine, machineWaited];
    this.complete = this.untilComplete();
    this.complete.catch(() => undefined); // met by `hydrated`
  }

  async hydrated(onProgress: (progress: WakeProgress) => void): Promise<WakeProgress> {
    this.onProgress = onProgress;
    return this.progressOf(await this.complete);
  }

  /** Whoever takes over watches too: two would replace the same pager. */
  letGo(): void {
    this.watched = false;
    this.current?.close();
  }

  private async untilComplete(): Promise<ServeStatus> {
    for (let fruitless = 0; ;) {
      const startedMs = performance.now();
      try {
        return await this.servedToTheEnd();
      } catch (error) {
        if (!this.watched || !isDormouseError(error, 'PAGER_FAILED')) throw error;
        fruitless = performance.now() - startedMs < fruitlessMs ? fruitless + 1 : 0;
        if (fruitless === mostFruitlessPagers) throw error;
      }
    }
  }

  /** @throws PAGER_FAILED when the pager dies */
  private async servedToTheEnd(): Promise<ServeStatus> {
    const pager = this.pager ?? (await this.nextPager());
    if (pager === null) return withAllPages(this.last!);
    this.pager = null;
    this.current = pager;
    const stop = pager.onChange((status) => {
      this.last = status;
      this.onProgress(this.progressOf(status));
    });
    try {
      this.last = pager.current;
      const status = await pager.reached('hydrated');
      pager.send('leave');
      return status;
    } catch (error) {
      this.died++;
      throw error;
    } finally {
      stop();
      pager.close();
    }
  }

  private progressOf(status: ServeStatus): WakeProgress {
    const { totalPages, sentPages, pageRequests, hydratedMs, waitingForStorage, peakRssBytes } = status;
    return {
      ...{ totalPages, sentPages, pageRequests, hydratedMs, waitingForStorage },
      pagerPeakRssBytes: peakRssBytes,
      pagersReplaced: this.died,
    };
  }
}

/** What a pager would have said that died before it could. */
function withAllPages(status: ServeStatus): ServeStatus {
  return { ...status, state: 'hydrated', sentPages: status.totalPages };
}

import { setTimeout as sleep } from 'node:timers/promises';
import type { PagerClient, ServeStatus } from '@dormouse/pager-control';
import { GuestAgent, socketNames, type LaunchSpec } from '@dormouse/qemu';
import type { Wake, WakeProgress } from './hypervisor';
import { withQemu } from './qemu-process';
import type { RunDirectory } from './run-directory';

/** Gratuitous packets after waking, as `announce-self` sends them: switches learn where the machine is now. */
const announcement = { initial: 50, max: 550, rounds: 5, step: 50 };

/** A machine that runs while its pager brings the rest of its memory. */
export class QemuWake implements Wake {
  constructor(
    private readonly directory: RunDirectory,
    private readonly launchSpec: LaunchSpec,
    private readonly pager: PagerClient<ServeStatus>,
  ) {}

  async awaitReady(patienceMs: number): Promise<void> {
    await Promise.all([
      withQemu(this.directory, (qmp) => qmp.execute('announce-self', announcement)),
      this.launchSpec.readiness === 'agent' ? setGuestClock(this.directory, patienceMs) : sleep(0),
    ]);
  }

  async hydrated(onProgress: (progress: WakeProgress) => void): Promise<WakeProgress> {
    const stop = this.pager.onChange((status) => onProgress(progressOf(status)));
    try {
      const status = await this.pager.reached('hydrated');
      this.pager.send('leave');
      return progressOf(status);
    } finally {
      stop();
      this.pager.close();
    }
  }
}

/** Waits for the guest's agent and sets the guest's clock, which has stood still. @throws GUEST_UNRESPONSIVE */
export async function setGuestClock(directory: RunDirectory, patienceMs: number): Promise<void> {
  const agent = await GuestAgent.connect(directory.socket(socketNames.agent));
  try {
    await agent.synchronise(patienceMs);
    await agent.setClock(patienceMs);
  } finally {
    agent.close();
  }
}

function progressOf(status: ServeStatus): WakeProgress {
  const { totalPages, sentPages, pageRequests, hydratedMs, waitingForStorage, peakRssBytes } = status;
  return { totalPages, sentPages, pageRequests, hydratedMs, waitingForStorage, pagerPeakRssBytes: peakRssBytes };
}

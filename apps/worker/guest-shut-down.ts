import { DormouseError } from '@dormouse/errors';
import type { Hypervisor } from '@dormouse/hypervisor';

export function guestShutDown(desktopId: string): DormouseError {
  return new DormouseError('GUEST_SHUT_DOWN', 'the guest has shut down by itself', { desktopId });
}

/** Rejects with GUEST_SHUT_DOWN when the guest shuts down; never resolves. `stop` ends it. */
export function whenShutDown(
  hypervisor: Pick<Hypervisor, 'onGuestReport' | 'guestReport'>,
  desktopId: string,
): { rejects: Promise<never>; stop: () => void } {
  let stop = (): void => undefined;
  const rejects = new Promise<never>((_, reject) => {
    const hear = (report: ReturnType<Hypervisor['guestReport']>): void => {
      if (report?.desktopId === desktopId && report.condition === 'shut-down') reject(guestShutDown(desktopId));
    };
    stop = hypervisor.onGuestReport(hear);
    hear(hypervisor.guestReport(desktopId));
  });
  rejects.catch(() => undefined); // met by whoever races with it
  return { rejects, stop };
}

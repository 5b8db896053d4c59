import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { GuestClient, GuestImage } from '../guest';
import { Desk, guestLaunchSpec, type RunningDormouse } from '../scenario';
import { filesBelow } from '../scenario/files';
import type { JsonObject } from '@dormouse/session';

const bootPatienceMs = 10 * 60_000;
/** What a desktop does right after it was used is over by then: the kernel has written back what it had to. */
const settleMs = 15_000;

export interface UsedDesktop {
  readonly desk: Desk;
  readonly guest: GuestClient;
  readonly launchSpec: JsonObject;
}

/**
 * Registers and starts a desktop of the desktop guest, uses it until its page cache is warm, and leaves it idle with its
 * user connected. Its image is indexed by then.
 */
export async function usedDesktop(
  dormouse: RunningDormouse,
  { id, poolId, image, memoryMiB, say }: Options,
): Promise<UsedDesktop> {
  const desk = new Desk(dormouse, id);
  const format = image.goldenImage.endsWith('.qcow2') ? 'qcow2' : 'raw';
  const launchSpec = {
    ...guestLaunchSpec(image, memoryMiB),
    disks: [{ image: image.goldenImage, format }],
    display: 'vnc',
  };
  await desk.register(launchSpec, poolId);
  await desk.start();
  const guest = await desk.guest();
  await guest.ping({ timeoutMs: bootPatienceMs, retryMs: 500 });
  say(`${id} has booted; waiting for its X server, its window manager and its editor`);
  while ((await guest.windows(bootPatienceMs)) < 2) await sleep(500);
  const cachedMiB = await guest.use();
  say(`${id} was used: ${cachedMiB} MiB are in its page cache`);
  await desk.broker('connected');
  await imageIndexed(dormouse.dataDir);
  await sleep(settleMs);
  return { desk, guest, launchSpec };
}

interface Options {
  readonly id: string;
  readonly poolId: string;
  readonly image: GuestImage;
  readonly memoryMiB: number;
  readonly say: (line: string) => void;
}

async function imageIndexed(dataDir: string): Promise<void> {
  while (!(await filesBelow(join(dataDir, 'disks'))).some((path) => path.endsWith('.index'))) await sleep(100);
}

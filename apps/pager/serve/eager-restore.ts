import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { WakeHead } from '@dormouse/checkpoint';
import { encode } from '@dormouse/migration-stream';
import { GuestMemory } from './guest-memory';
import { Hydration, type GuestActivity } from './hydration';
import { PageStream } from './page-stream';
import type { WakingParts } from './waking';

/** It does not run. */
const noActivity: GuestActivity = { requests: 0, lastRequestMs: -Infinity };

/**
 * All of a machine's memory before it runs, as an ordinary migration sends it: slow, and without anything that a lazy wake
 * needs of QEMU and the kernel. QEMU has the guest run by itself when it has read the end.
 * @throws what the checkpoint cannot be read for
 */
export async function restoreEagerly(
  { found, memory, manner, update }: WakingParts,
  socket: Socket,
  head: WakeHead,
): Promise<void> {
  const beganMs = performance.now();
  const guest = new GuestMemory(found.manifest.blocks);
  const stream = new PageStream(guest, socket);
  const closed = once(socket, 'close');
  socket.resume(); // it says nothing; its end has to be noticed
  socket.on('error', () => socket.destroy()); // 'close' follows
  update({ state: 'loading' });
  socket.write(Buffer.concat([encode.preamble(head.configuration), encode.ramStart(guest.blocks)]));
  const report = (): void => update({ sentPages: stream.sentPages });
  await new Hydration(await memory, stream, noActivity, manner.fill, report).run();
  socket.end(Buffer.concat([encode.ramEnd(), head.deviceState, encode.endOfStream()]));
  await closed;
  update({ state: 'hydrated', sentPages: stream.sentPages, hydratedMs: Math.round(performance.now() - beganMs) });
}

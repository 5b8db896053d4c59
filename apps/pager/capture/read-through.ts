import { once } from 'node:events';
import { Socket } from 'node:net';

/** Where a connection is read into. */
export interface ReadTarget {
  /** Where the next bytes go. */
  room(): Buffer;
  /** That many have come. */
  filled(bytes: number): void;
}

/** Undocumented, and as old as Node: what a socket reads from. */
interface WithHandle {
  _handle: unknown;
}

/**
 * Reads an accepted connection to its end into memory of the caller's. Node would put every 64 KiB into memory of its own:
 * for the memory of a guest that is tens of thousands of allocations, and a collector that runs for as long as we do.
 * A client may choose where it reads to (`onread`), an accepted connection may not; so its handle is given to a socket
 * that may.
 * @param accepted by a server with `pauseOnConnect`: nothing of it has been read
 * @param afterwards is called after each `filled`; a promise holds back what comes next
 * @param signal hangs up
 * @throws what the target and `afterwards` throw, what the connection fails with, AbortError
 */
export async function readThrough(
  accepted: Socket,
  target: ReadTarget,
  afterwards: () => Promise<void> | null,
  signal: AbortSignal,
): Promise<void> {
  const handle = (accepted as unknown as WithHandle)._handle;
  (accepted as unknown as WithHandle)._handle = null;
  const onread = {
    buffer: () => target.room(),
    callback: (bytes: number): boolean => {
      try {
        target.filled(bytes);
        const wait = afterwards();
        wait?.then(
          () => socket.resume(),
          (error: Error) => socket.destroy(error),
        );
        return wait === null;
      } catch (error) {
        socket.destroy(error as Error);
        return false;
      }
    },
  };
  const socket = new Socket({ handle, onread, signal } as ConstructorParameters<typeof Socket>[0]);
  const ended = once(socket, 'end');
  socket.resume();
  await ended;
  socket.destroy();
}

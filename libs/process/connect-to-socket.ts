import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { connect, Socket } from 'node:net';

/** open(2), for Linux; Node does not name it. */
const O_PATH = 0o10000000;

/**
 * Connects to the unix socket at `path`, and to nothing that a link there leads to: whoever may write to a folder could lead us to somebody
 * else's socket.
 * @returns as `connect` does; an 'error' that comes has the code ENOTSOCK where there is something else
 */
export function connectToSocket(path: string): Socket {
  let found: number;
  try {
    found = openSync(path, O_PATH | constants.O_NOFOLLOW);
  } catch (error) {
    return new Socket().destroy(error as Error);
  }
  try {
    if (fstatSync(found).isSocket()) return connect(`/proc/self/fd/${found}`); // connect(2) is done when this returns
    return new Socket().destroy(Object.assign(new Error(`${path} is not a socket`), { code: 'ENOTSOCK' }));
  } finally {
    closeSync(found);
  }
}

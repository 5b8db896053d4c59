import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import { Lines } from '@dormouse/process';
import { parseStatus, type PagerCommand, type PagerStatus } from './protocol';

/** A status is some hundred bytes, and the details of its error. */
const longestLine = 1024 * 1024;

/** The worker's side of a pager's control socket. */
export class PagerClient<Status extends PagerStatus> {
  private status: Status | null = null;
  private lost: DormouseError | null = null;
  private readonly watchers = new Set<() => void>();

  private constructor(private readonly socket: Socket) {
    const incoming = new Lines(longestLine);
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => {
      const lines = incoming.push(text);
      if (lines === null) return void socket.destroy(); // no pager: 'close' follows
      const last = lines.at(-1);
      if (last === undefined) return;
      const status = parseStatus<Status>(last);
      if (status === null) return void socket.destroy();
      this.status = status;
      this.notify();
    });
    socket.on('error', () => socket.destroy()); // 'close' follows
    socket.on('close', () => {
      this.lost = new DormouseError('PAGER_FAILED', 'the pager has ended before its work was done');
      this.notify();
    });
  }

  /**
   * Connects, trying again for `patienceMs` while the pager is starting.
   * @param isStarting false once it is known to have ended: then there is nothing to wait for
   * @throws PAGER_FAILED
   */
  static async connect<Status extends PagerStatus>(
    path: string,
    patienceMs: number,
    isStarting = (): boolean => true,
  ): Promise<PagerClient<Status>> {
    const deadline = performance.now() + patienceMs;
    for (;;) {
      const socket = await tryConnect(path);
      if (socket !== null) return new PagerClient<Status>(socket);
      if (!isStarting()) throw new DormouseError('PAGER_FAILED', 'the pager has ended before it began its work');
      if (performance.now() >= deadline)
        throw new DormouseError('PAGER_FAILED', `the pager does not answer at ${path}`);
      await sleep(5);
    }
  }

  get current(): Status | null {
    return this.status;
  }

  send(command: PagerCommand['command']): void {
    this.socket.write(JSON.stringify({ command } satisfies PagerCommand) + '\n');
  }

  /**
   * Resolves with the first status in one of `states`.
   * @throws the pager's own error when it fails first, PAGER_FAILED when it dies
   */
  async reached<State extends Status['state']>(...states: State[]): Promise<Status> {
    for (;;) {
      const status = this.status;
      if (status !== null && (states as string[]).includes(status.state)) return status;
      if (status !== null && status.state === 'failed') {
        const { code, message, details } = status.error!;
        throw new DormouseError(code, message, details);
      }
      if (this.lost !== null) throw this.lost;
      await this.change();
    }
  }

  /** Resolves when there is news, or the pager is gone. */
  private change(): Promise<void> {
    return new Promise((resolve) => {
      const watcher = (): void => {
        this.watchers.delete(watcher);
        resolve();
      };
      this.watchers.add(watcher);
    });
  }

  onChange(listener: (status: Status) => void): () => void {
    const watcher = (): void => {
      if (this.status !== null) listener(this.status);
    };
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }

  close(): void {
    this.socket.destroy();
  }

  private notify(): void {
    for (const watcher of [...this.watchers]) watcher();
  }
}

function tryConnect(path: string): Promise<Socket | null> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.removeAllListeners('error');
      resolve(socket);
    });
    socket.once('error', () => resolve(null)); // not there yet
  });
}

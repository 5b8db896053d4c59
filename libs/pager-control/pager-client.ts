import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import { limits, timedOut, type LimitName } from '@dormouse/limits';
import { Lines } from '@dormouse/process';
import { parseStatus, type PagerCommand, type PagerStatus } from './protocol';

/** A status is some hundred bytes, and the details of its error. */
const longestLine = 1024 * 1024;

/** How often it is looked whether a pager has said something. */
const listenEveryMs = 500;
/** How long a pager may say nothing, by what it is doing. */
export type PagerSilence = Extract<LimitName, 'savingPagerNews' | 'wakingPagerNews'>;

/** The worker's side of a pager's control socket. */
export class PagerClient<Status extends PagerStatus> {
  private status: Status | null = null;
  private lost: DormouseError | null = null;
  private readonly watchers = new Set<() => void>();
  /** Not a clock: when it was this process that stood still, what the pager has said meanwhile is heard before the next look. */
  private silentLooks = 0;

  private constructor(
    private readonly socket: Socket,
    silence: PagerSilence,
  ) {
    const incoming = new Lines(longestLine);
    const listening = setInterval(() => {
      this.silentLooks++;
      if (this.silentMs > limits[silence].ms) this.lose(timedOut(silence));
    }, listenEveryMs).unref();
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => {
      this.silentLooks = 0;
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
      clearInterval(listening);
      this.lose(new DormouseError('PAGER_FAILED', 'the pager has ended before its work was done'));
    });
  }

  /**
   * Connects, trying again for `patienceMs` while the pager is starting.
   * @param isStarting false once it is known to have ended: then there is nothing to wait for
   * @param silence how long it may say nothing from then on
   * @throws PAGER_FAILED
   */
  static async connect<Status extends PagerStatus>(
    path: string,
    patienceMs: number,
    isStarting = (): boolean => true,
    silence: PagerSilence = 'savingPagerNews',
  ): Promise<PagerClient<Status>> {
    const deadline = performance.now() + patienceMs;
    for (;;) {
      const socket = await tryConnect(path);
      if (socket !== null) return new PagerClient<Status>(socket, silence);
      if (!isStarting()) throw new DormouseError('PAGER_FAILED', 'the pager has ended before it began its work');
      if (performance.now() >= deadline)
        throw new DormouseError('PAGER_FAILED', `the pager does not answer at ${path}`);
      await sleep(5);
    }
  }

  get current(): Status | null {
    return this.status;
  }

  /** How long it has said nothing. It says something every second. */
  get silentMs(): number {
    return this.silentLooks * listenEveryMs;
  }

  send(command: PagerCommand['command']): void {
    this.socket.write(JSON.stringify({ command } satisfies PagerCommand) + '\n');
  }

  /**
   * Resolves with the first status in one of `states`.
   * @throws the pager's own error when it fails first, PAGER_FAILED when it dies or falls silent
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

  private lose(error: DormouseError): void {
    this.lost ??= error;
    this.socket.destroy();
    this.notify();
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

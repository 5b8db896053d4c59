import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { basename, dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import { unixSocketPath } from '@dormouse/process';

interface Pending {
  readonly resolve: (answer: string) => void;
  readonly reject: (error: Error) => void;
}

const quickMs = 10_000;

/** Emulated, the slowest part of filling or summing does 40 MB/s on an idle host; hosts are not always idle. */
const bulkMs = 180_000;

/**
 * Asks the guest questions over its second serial port (test/guest/line-protocol).
 *
 * A serial line has no connections: what an earlier caller asked may be answered now, and half a line may stand in the
 * guest's buffer. So each request begins with an empty line, which ends the half one, and carries a tag, `?tag`, that its
 * answer repeats, `!tag`; a line without a tag that is waited for is not ours.
 */
export class GuestClient {
  private readonly prefix = `${randomBytes(4).toString('hex')}.`;
  private requests = 0;
  private readonly pending = new Map<string, Pending>();

  /**
   * Connects to the socket of the serial port. Says nothing about the guest: `ping` does.
   * QEMU serves one connection at a time; a second one waits, unanswered, until the first is closed.
   * @throws MACHINE_GONE when nobody listens there.
   */
  static async connect(socketPath: string): Promise<GuestClient> {
    const socket = connect(unixSocketPath(dirname(socketPath), basename(socketPath)));
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', (cause) => {
        reject(new DormouseError('MACHINE_GONE', `no guest behind ${socketPath}: ${cause.message}`, {}, { cause }));
      });
    });
    return new GuestClient(socket);
  }

  /**
   * Connects as soon as somebody listens there: QEMU's socket is seen before it takes connections.
   * @throws MACHINE_GONE when nobody does within `patienceMs`.
   */
  static async connectWhenThere(socketPath: string, patienceMs = 60_000): Promise<GuestClient> {
    const deadline = Date.now() + patienceMs;
    for (;;) {
      try {
        return await GuestClient.connect(socketPath);
      } catch (error) {
        if (Date.now() > deadline) throw error;
        await sleep(2);
      }
    }
  }

  private constructor(private readonly socket: Socket) {
    // Errors need no answer here, from the socket or from the lines, which repeat them: 'close' follows and says it all.
    const ignore = (): void => undefined;
    createInterface({ input: socket })
      .on('line', (line) => this.receive(line))
      .on('error', ignore);
    socket.on('error', ignore);
    socket.on('close', () => {
      for (const { reject } of this.pending.values()) {
        reject(new DormouseError('MACHINE_GONE', 'the serial port was closed before the guest answered'));
      }
      this.pending.clear();
    });
  }

  close(): void {
    this.socket.destroy();
  }

  /**
   * Resolves when the guest answers, asking again every `retryMs`: before a guest has booted or been woken,
   * what is sent to its serial port is lost.
   * @throws GUEST_UNRESPONSIVE when it has not answered within `timeoutMs`.
   */
  async ping({ timeoutMs = quickMs, retryMs = 50 }: { timeoutMs?: number; retryMs?: number } = {}): Promise<void> {
    this.expect('pong', await this.request('ping', timeoutMs, retryMs));
  }

  /** 32 hexadecimal digits, made at boot, that exist only in the guest's memory. */
  async nonce(): Promise<string> {
    return this.capture(/^([0-9a-f]{32})$/, await this.request('nonce'));
  }

  /** Puts this much random, incompressible data into the guest's memory. Takes the place of what was filled before. */
  async fill(mebibytes: number, timeoutMs = bulkMs): Promise<void> {
    this.expect(`filled ${mebibytes}`, await this.request(`fill ${mebibytes}`, timeoutMs));
  }

  /** SHA-256, in hexadecimal, of the filled memory. */
  async sum(timeoutMs = bulkMs): Promise<string> {
    return this.capture(/^sum ([0-9a-f]{64})$/, await this.request('sum', timeoutMs));
  }

  /** Rewrites the first `mebibytes` of the filled memory over and over until `still`. */
  async dirty(mebibytes: number): Promise<void> {
    this.expect(`dirtying ${mebibytes}`, await this.request(`dirty ${mebibytes}`));
  }

  async still(): Promise<void> {
    this.expect('still', await this.request('still'));
  }

  /** The guest's clock, in milliseconds since 1970. */
  async timeMs(): Promise<number> {
    return Number(this.capture(/^time (\d+\.\d+)$/, await this.request('time'))) * 1000;
  }

  /** Writes one line of text to the guest's disk; resolves when it is synced. */
  async write(text: string): Promise<void> {
    this.expect('written', await this.request(`write ${text}`));
  }

  /** What was last written to the guest's disk, by this boot or one before. */
  async read(): Promise<string> {
    return this.capture(/^read (.*)$/, await this.request('read'));
  }

  /** How many windows the X server of a desktop lists. */
  async windows(timeoutMs = quickMs): Promise<number> {
    return Number(this.capture(/^windows (\d+)$/, await this.request('windows', timeoutMs)));
  }

  /** Uses a desktop until its page cache is warm. @returns what is in it then, in MiB */
  async use(timeoutMs = 10 * 60_000): Promise<number> {
    return Number(this.capture(/^used (\d+)$/, await this.request('use', timeoutMs)));
  }

  /** Starts a program in a desktop that holds this much text, tables and images, and goes on holding it. */
  async hold(mebibytes: number, timeoutMs = 10 * 60_000): Promise<void> {
    this.expect(`held ${mebibytes}`, await this.request(`hold ${mebibytes}`, timeoutMs));
  }

  /**
   * One request, one answer. With `retryMs` it is sent again, under the same tag, until answered: only for requests
   * that may be done twice.
   * @throws GUEST_UNRESPONSIVE after `timeoutMs`, MACHINE_GONE when the port closes, REQUEST_INVALID when the guest refuses.
   */
  async request(line: string, timeoutMs = quickMs, retryMs?: number): Promise<string> {
    if (this.socket.destroyed) throw new DormouseError('MACHINE_GONE', 'the connection to the serial port is closed');
    const tag = `${this.prefix}${++this.requests}`;
    const send = (): void => void this.socket.write(`\n?${tag} ${line}\n`);
    let timer: NodeJS.Timeout | undefined;
    let retry: NodeJS.Timeout | undefined;
    try {
      const answer = await new Promise<string>((resolve, reject) => {
        this.pending.set(tag, { resolve, reject });
        timer = setTimeout(() => {
          reject(new DormouseError('GUEST_UNRESPONSIVE', `the guest did not answer "${line}" within ${timeoutMs} ms`));
        }, timeoutMs);
        if (retryMs !== undefined) retry = setInterval(send, retryMs);
        send();
      });
      if (answer.startsWith('error ')) {
        throw new DormouseError('REQUEST_INVALID', `the guest refused "${line}": ${answer.slice('error '.length)}`);
      }
      return answer;
    } finally {
      clearTimeout(timer);
      clearInterval(retry);
      this.pending.delete(tag);
    }
  }

  private receive(line: string): void {
    // Not from the beginning: half a line may stand in front, since QEMU drops what the guest says while nobody listens.
    const [, tag = '', answer = ''] = /!([0-9a-f]+\.\d+) (.*)$/.exec(line) ?? [];
    this.pending.get(tag)?.resolve(answer);
  }

  private expect(wanted: string, answer: string): void {
    if (answer !== wanted) {
      throw new DormouseError('GUEST_UNRESPONSIVE', `the guest answered "${answer}" instead of "${wanted}"`);
    }
  }

  private capture(pattern: RegExp, answer: string): string {
    const found = pattern.exec(answer)?.[1];
    if (found === undefined) throw new DormouseError('GUEST_UNRESPONSIVE', `the guest answered "${answer}"`);
    return found;
  }
}

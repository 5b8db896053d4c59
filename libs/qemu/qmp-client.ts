import { EventEmitter } from 'node:events';
import { DormouseError } from '@dormouse/errors';
import { timedOut, within, type LimitName } from '@dormouse/limits';
import { LineSocket } from './line-socket';
import { parseMessage } from './qmp-message';

export interface QmpEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
  /** QEMU's clock, milliseconds since the epoch. */
  readonly atMs: number;
}

/**
 * QEMU's machine protocol on a unix socket. Commands may overlap; out-of-band execution is switched on, since the main
 * loop of a QEMU in postcopy may itself be waiting for a page.
 */
export class QmpClient {
  private nextId = 1;
  private closed: DormouseError | null = null;
  private readonly pending = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  private readonly emitter = new EventEmitter();

  private constructor(private readonly socket: LineSocket) {
    this.emitter.setMaxListeners(0);
  }

  /**
   * A QEMU that hangs, or that serves another client, lets us connect and says nothing.
   * @throws QMP_DISCONNECTED when nobody listens at `path`; when QEMU stays silent, the error of the limit
   */
  static async connect(path: string, limit: LimitName = 'qmpConnect'): Promise<QmpClient> {
    let socket: LineSocket;
    try {
      socket = await LineSocket.open(path);
    } catch (cause) {
      // Whoever does not accept anybody any more has a full queue of those who wait for it.
      if ((cause as NodeJS.ErrnoException).code === 'EAGAIN') throw timedOut(limit);
      throw new DormouseError('QMP_DISCONNECTED', `QEMU does not answer at ${path}`, { socket: path }, { cause });
    }
    return within(limit, QmpClient.greet(socket), { onTimeout: () => socket.close() });
  }

  private static async greet(socket: LineSocket): Promise<QmpClient> {
    const client = new QmpClient(socket);
    const greeted = new Promise<void>((resolve) => client.emitter.once('greeting', resolve));
    const lost = new Promise<never>((_, reject) => client.onClose(reject));
    lost.catch(() => undefined); // only of interest until the greeting has come
    socket.onLine((line) => client.read(line));
    socket.onClose((cause) => client.fail('QEMU closed its control socket', cause));
    await Promise.race([greeted, lost]);
    await client.execute('qmp_capabilities', { enable: ['oob'] });
    return client;
  }

  /**
   * @throws QMP_FAILED when QEMU refuses, QMP_DISCONNECTED when it goes away first, MACHINE_SILENT when it does not answer in time
   */
  execute<T = unknown>(
    command: string,
    args: Readonly<Record<string, unknown>> = {},
    limit: LimitName = 'qmpCommand',
  ): Promise<T> {
    return within(limit, this.send<T>('execute', command, args), { about: command });
  }

  /** Executes beside the main loop. Only a few commands allow it (`migrate-recover`, `migrate-pause`). */
  executeOutOfBand<T = unknown>(command: string, args: Readonly<Record<string, unknown>> = {}): Promise<T> {
    return within('qmpCommand', this.send<T>('exec-oob', command, args), { about: command });
  }

  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.emitter.on('event', listener);
    return () => this.emitter.off('event', listener);
  }

  /** Called once when the connection is gone, at once when it already is. */
  onClose(listener: (error: DormouseError) => void): void {
    if (this.closed !== null) listener(this.closed);
    else this.emitter.once('close', listener);
  }

  close(): void {
    this.socket.close();
  }

  private send<T>(verb: 'execute' | 'exec-oob', command: string, args: Readonly<Record<string, unknown>>): Promise<T> {
    if (this.closed !== null) return Promise.reject(this.closed);
    const id = this.nextId++;
    return new Promise<T>((resolve, reject) => {
      this.pending.set(id, { resolve: (value) => resolve(value as T), reject });
      this.socket.send(JSON.stringify({ [verb]: command, arguments: args, id }));
    });
  }

  private read(line: string): void {
    const message = parseMessage(line);
    if (message === null) {
      this.fail('what answers at the control socket is not QEMU');
      this.socket.close();
    } else if (message.QMP !== undefined) {
      this.emitter.emit('greeting');
    } else if (message.event !== undefined) {
      const { seconds, microseconds } = message.timestamp ?? { seconds: 0, microseconds: 0 };
      const event: QmpEvent = {
        event: message.event,
        data: message.data ?? {},
        atMs: seconds * 1000 + microseconds / 1000,
      };
      this.emitter.emit('event', event);
    } else if (message.id !== undefined) {
      const waiting = this.pending.get(message.id);
      this.pending.delete(message.id);
      if (message.error !== undefined) {
        waiting?.reject(
          new DormouseError('QMP_FAILED', `QEMU refused: ${message.error.desc}`, { class: message.error.class }),
        );
      } else {
        waiting?.resolve(message.return);
      }
    }
  }

  private fail(what: string, cause: Error | null = null): void {
    if (this.closed !== null) return;
    this.closed = new DormouseError('QMP_DISCONNECTED', what, {}, { cause });
    for (const { reject } of this.pending.values()) reject(this.closed);
    this.pending.clear();
    this.emitter.emit('close', this.closed);
  }
}

import { rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { Lines } from '@dormouse/process';
import { parseCommand, type PagerCommand, type PagerStatus } from './protocol';

/** No command is longer. */
const longestLine = 4096;
/** Often enough that whoever waits for a pager knows within seconds that it hangs. */
const repeatEveryMs = 1_000;

/**
 * The pager's side: tells everyone who is connected its status, one JSON document a line, first on connecting, then on every
 * change and every second, and takes commands.
 */
export class ControlServer<Status extends PagerStatus> {
  private readonly clients = new Set<Socket>();
  private readonly server = createServer((socket) => this.accept(socket));
  private readonly repeating: NodeJS.Timeout;

  constructor(
    private status: Status,
    private readonly onCommand: (command: PagerCommand['command']) => void,
    /** The last client went away. */
    private readonly onAlone: () => void,
  ) {
    this.repeating = setInterval(() => this.repeat(), repeatEveryMs).unref();
  }

  listen(path: string): Promise<void> {
    rmSync(path, { force: true });
    return new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(path, resolve);
    });
  }

  get current(): Status {
    return this.status;
  }

  update(change: Partial<Status>): void {
    this.status = { ...this.status, ...change };
    for (const client of this.clients) client.write(this.line());
  }

  /** Nobody is connected. */
  get alone(): boolean {
    return this.clients.size === 0;
  }

  /** Stops listening and resolves when everything said has left. */
  async close(): Promise<void> {
    clearInterval(this.repeating);
    this.server.close();
    await Promise.all([...this.clients].map((client) => new Promise<void>((resolve) => client.end(resolve))));
  }

  /** To whoever has read all: what the others have not read yet says as well that we are here. */
  private repeat(): void {
    for (const client of this.clients) if (client.writableLength === 0) client.write(this.line());
  }

  private line(): string {
    return JSON.stringify(this.status) + '\n';
  }

  private accept(socket: Socket): void {
    this.clients.add(socket);
    const incoming = new Lines(longestLine);
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => {
      // Whoever says something else is no worker. The pager must not end by it: a guest may depend on it.
      const lines = incoming.push(text);
      if (lines === null) return void socket.destroy();
      for (const line of lines) {
        const command = parseCommand(line);
        if (command === null) return void socket.destroy();
        this.onCommand(command);
      }
    });
    socket.on('error', () => socket.destroy()); // a worker that died: 'close' follows
    socket.on('close', () => {
      this.clients.delete(socket);
      if (this.clients.size === 0) this.onAlone();
    });
    socket.write(this.line());
  }
}

import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { createServer as createHttpServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** A storage that is reached over a network: so many bytes a second, and so long until a request is begun with. */
export interface Link {
  readonly bytesPerSecond: number;
  readonly requestMs: number;
}

/** What a storage network does at its best: 1 Gbit/s, 5 ms a request. */
export const net: Link = { bytesPerSecond: 125_000_000, requestMs: 5 };

/** Timers fire late, most of all where there is much to do; what a link has not carried meanwhile is made good, this much at most. */
const lateMs = 10;

/** Lets the bytes of all that goes through it pass at one rate. */
class Bottleneck {
  private freeAtMs = 0;

  constructor(private readonly bytesPerMs: number) {}

  through(): Transform {
    return new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        const nowMs = performance.now();
        this.freeAtMs = Math.max(this.freeAtMs, nowMs - lateMs) + chunk.length / this.bytesPerMs;
        // Timers are good to a millisecond: what is less is owed, and paid with the next ones.
        const waitMs = this.freeAtMs - nowMs;
        if (waitMs < 2) done(null, chunk);
        else void sleep(waitMs).then(() => done(null, chunk));
      },
    });
  }
}

export interface Throttled {
  readonly port: number;
  close(): Promise<void>;
}

/** What goes through it comes out at the pace of a link of its own. */
export function through({ bytesPerSecond }: Link): Transform {
  return new Bottleneck(bytesPerSecond / 1_000).through();
}

/** The HTTP server at a port, behind a link. Requests share the link; each waits for `requestMs` before it begins. */
export async function throttleHttp(target: number, { bytesPerSecond, requestMs }: Link): Promise<Throttled> {
  const link = new Bottleneck(bytesPerSecond / 1_000);
  const pass = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    await sleep(requestMs);
    const { method, url: path, headers } = incoming;
    const onward = request({ host: '127.0.0.1', port: target, method, path, headers });
    const answered = once(onward, 'response') as Promise<[IncomingMessage]>;
    const sent = pipeline(incoming, link.through(), onward);
    sent.catch(() => undefined); // met below, unless there is no answer
    const [answer] = await answered;
    outgoing.writeHead(answer.statusCode!, answer.headers);
    await Promise.all([sent, pipeline(answer, link.through(), outgoing)]);
  };
  const server = createHttpServer((incoming, outgoing) => {
    pass(incoming, outgoing).catch(() => outgoing.destroy()); // the client sees a connection that broke, as it would
  });
  return listening(server, () => server.closeAllConnections());
}

/** A port whose one connection is written to a file behind a link, and to the disk at its end. */
export async function throttleToFile(
  file: string,
  { bytesPerSecond, requestMs }: Link,
): Promise<Throttled & { readonly durable: Promise<void> }> {
  const link = new Bottleneck(bytesPerSecond / 1_000);
  const server = createServer();
  const durable = (once(server, 'connection') as Promise<[Socket]>).then(async ([socket]) => {
    await sleep(requestMs);
    await pipeline(socket, link.through(), createWriteStream(file));
    const written = await open(file);
    await written.sync();
    await written.close();
  });
  return { ...(await listening(server)), durable };
}

async function listening(server: Server, beforeClose = (): void => undefined): Promise<Throttled> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = async (): Promise<void> => {
    beforeClose();
    server.close();
    await once(server, 'close');
  };
  return { port: (server.address() as AddressInfo).port, close };
}

import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Transform, type TransformCallback } from 'node:stream';
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
/** With this a server asks for the body of a request: it is no answer yet. */
const goOn = Buffer.from('HTTP/1.1 100 ');

/** Lets the bytes of all that goes through it pass at one rate. */
class Bottleneck {
  private freeAtMs = 0;

  constructor(private readonly bytesPerMs: number) {}

  /** @param delayMsOf what comes, before it is on the link */
  through(delayMsOf = (_chunk: Buffer): number => 0): Transform {
    return new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        const delayMs = delayMsOf(chunk);
        if (delayMs === 0) this.pass(chunk, done);
        else void sleep(delayMs).then(() => this.pass(chunk, done));
      },
    });
  }

  private pass(chunk: Buffer, done: TransformCallback): void {
    const nowMs = performance.now();
    this.freeAtMs = Math.max(this.freeAtMs, nowMs - lateMs) + chunk.length / this.bytesPerMs;
    // Timers are good to a millisecond: what is less is owed, and paid with the next ones.
    const waitMs = this.freeAtMs - nowMs;
    if (waitMs < 2) done(null, chunk);
    else void sleep(waitMs).then(() => done(null, chunk));
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

/**
 * The HTTP server at a port, behind a link. Requests share the link; each waits for `requestMs` before it begins. What passes is
 * looked at no closer than that takes: a request is what comes after an answer. The processors are those that are measured.
 */
export async function throttleHttp(target: number, { bytesPerSecond, requestMs }: Link): Promise<Throttled> {
  const link = new Bottleneck(bytesPerSecond / 1_000);
  const open = new Set<Socket>();
  const server = createServer({ noDelay: true }, (client) => {
    const onward = connect({ host: '127.0.0.1', port: target, noDelay: true });
    let answered = true;
    const requests = link.through(() => {
      const delayMs = answered ? requestMs : 0;
      answered = false;
      return delayMs;
    });
    const answers = link.through((chunk) => {
      answered ||= !chunk.subarray(0, goOn.length).equals(goOn);
      return 0;
    });
    open.add(client);
    client.once('close', () => open.delete(client));
    // Whoever is at the other end sees a connection that broke, as over a network.
    for (const way of [pipeline(client, requests, onward), pipeline(onward, answers, client)]) {
      way.catch(() => [client, onward].forEach((socket) => socket.destroy()));
    }
  });
  return listening(server, () => open.forEach((socket) => socket.destroy()));
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

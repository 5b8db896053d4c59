import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { hugePageHeap } from '@dormouse/process';

/**
 * A server that speaks S3, from npm's `s3rver`: a process of its own on a free loopback port, objects as files.
 *
 * What it does not do as S3 does, so no test that runs on it proves it:
 *  - credentials: it knows the key's id, but does not check the signature of a request;
 *  - conditional writes: it ignores If-None-Match (the gate below does not, except between two writers in the same moment);
 *  - checksums: it ignores x-amz-checksum-*, and the ETags of parts when an upload is completed;
 *  - parts: any size will do, where S3 wants 5 MiB of all but the last one;
 *  - AbortMultipartUpload and ListMultipartUploads: it refuses both, and the parts stay on its disk;
 *  - atomicity: an object can be seen while its request is still running;
 *  - a range that ends in byte 0 (`bytes=0-0`): it answers with the whole object;
 *  - a range of an empty object: it never answers;
 *  - a missing content length, throttling, 5xx, redirects between regions, delays.
 */
export interface S3Server {
  readonly port: number;
  /** Where the bucket's objects lie, each as `<key>._S3rver_object`. */
  readonly bucketDirectory: string;
  stop(): Promise<void>;
}

export const bucket = 'checkpoints';

export async function startS3Server(directory: string): Promise<S3Server> {
  // Its continuation tokens are made with a cipher that OpenSSL 3 has put among the old ones. And the engine would look for garbage
  // after every few MiB that pass through, and touch new memory for each of them: a server that shares its processors with what is
  // measured is not to do that.
  const node = [process.execPath, '--openssl-legacy-provider', '--initial-old-space-size=256'];
  const program = require.resolve('s3rver/bin/s3rver.js');
  const options = ['--directory', directory, '--address', '127.0.0.1', '--port', '0', '--silent', '--no-vhost-buckets'];
  const child: ChildProcess = spawn(
    'setpriv', // so that it ends with the tests, however they end
    ['--pdeathsig', 'KILL', ...node, program, ...options, '--configure-bucket', bucket],
    { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...hugePageHeap } },
  );
  for await (const line of createInterface(child.stdout!)) {
    const port = /listening on .*:(\d+)$/.exec(line)?.[1];
    if (port === undefined) continue;
    const stop = async () => {
      child.kill('SIGKILL');
      await once(child, 'exit');
    };
    return { port: Number(port), bucketDirectory: join(directory, bucket), stop };
  }
  throw new Error('s3rver ended before it listened');
}

export function s3Url(port: number, prefix = ''): string {
  return `s3://S3RVER:S3RVER@${bucket}/${prefix}?endpoint=http://127.0.0.1:${port}`;
}

interface Refusal {
  readonly status: number;
  readonly code: string;
}

/** What the gate does with a request: let it pass, answer it itself, let it pass and cut the answer off, or never answer. */
export type Verdict = 'pass' | 'cut' | 'silence' | Refusal;

/** Stands before an S3 server, sees every request, refuses to write an object again (If-None-Match), and misbehaves on demand. */
export class S3Gate {
  /** `PUT partNumber uploadId`: the method and the names of the parameters that tell S3's operations apart. */
  readonly seen: string[] = [];
  decide: (operation: string, path: string) => Verdict = () => 'pass';

  private constructor(
    private readonly server: Server,
    private readonly target: number,
  ) {
    server.on('request', (incoming, outgoing) => {
      this.handle(incoming, outgoing).catch(() => outgoing.destroy()); // the client sees a connection that broke
    });
  }

  static async open(target: number): Promise<S3Gate> {
    const gate = new S3Gate(createServer(), target);
    gate.server.listen(0, '127.0.0.1');
    await once(gate.server, 'listening');
    return gate;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }

  private async handle(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(incoming.url!, 'http://gate');
    const parameters = [...searchParams.keys()].filter((name) => name !== 'x-id');
    const operation = [incoming.method, ...parameters.sort()].join(' ');
    this.seen.push(operation);
    const verdict = this.decide(operation, pathname);
    if (verdict === 'silence') return;
    if (typeof verdict === 'object') return refuse(incoming, outgoing, verdict);
    if (incoming.headers['if-none-match'] === '*' && (await this.isThere(incoming))) {
      return refuse(incoming, outgoing, { status: 412, code: 'PreconditionFailed' });
    }
    const { method, url: path, headers } = incoming;
    const onward = request({ host: '127.0.0.1', port: this.target, method, path, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode!, answer.headers);
      if (verdict === 'pass') return answer.pipe(outgoing);
      answer.once('data', (chunk: Buffer) => {
        outgoing.write(chunk.subarray(0, chunk.length / 2), () => outgoing.destroy());
      });
      return answer.once('end', () => outgoing.destroy());
    });
    onward.once('error', () => outgoing.destroy());
    incoming.pipe(onward);
  }

  private async isThere({ url, headers: given }: IncomingMessage): Promise<boolean> {
    const path = new URL(url!, 'http://gate').pathname;
    const aboutBody = ['content-length', 'transfer-encoding', 'expect'];
    const headers = Object.fromEntries(Object.entries(given).filter(([name]) => !aboutBody.includes(name)));
    const asking = request({ host: '127.0.0.1', port: this.target, method: 'HEAD', path, headers }).end();
    const [answer] = (await once(asking, 'response')) as [IncomingMessage];
    answer.resume();
    return answer.statusCode !== 404; // it may answer 304: If-None-Match holds for reading too
  }
}

function refuse(incoming: IncomingMessage, outgoing: ServerResponse, { status, code }: Refusal): void {
  incoming.resume().once('end', () => {
    outgoing.writeHead(status, { 'content-type': 'application/xml' });
    outgoing.end(`<Error><Code>${code}</Code><Message>said the gate</Message></Error>`);
  });
}

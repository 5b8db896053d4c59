import type { Readable } from 'node:stream';
import type { S3Client } from '@aws-sdk/client-s3';
import { mostReadWhole, type BlobRange } from './blob-store';
import type { S3Location } from './storage-url';

/** Answers that say something of the object, and nothing of the way to it. */
const ofTheObject = new Set([404, 416, 429, 500, 502, 503, 504]);

/** Bytes of an object that are to be read. */
export interface WantedBytes {
  /** In the bucket. */
  readonly key: string;
  /** Left out, all of them. */
  readonly range: BlobRange | undefined;
  /** The object may end before the range does. */
  readonly orLess: boolean;
}

/**
 * Reads objects with no more than the SDK's signature and connections. What the SDK does around them takes two thirds of the processor time of
 * a read, and a guest that wakes waits for many (docs/decisions/0040-short-reads.md). It is for reads that go well: of one that does not, whoever asks
 * the SDK hears what is wrong, and has it tried again.
 */
export class S3ShortWay {
  private way: Promise<Way> | null = null;
  private isBarred = false;

  constructor(
    private readonly client: S3Client,
    private readonly location: S3Location,
  ) {}

  /** @returns null when it did not come to that, and then for good when the way itself is the reason */
  async read(wanted: WantedBytes): Promise<Buffer | null> {
    if (this.isBarred) return null;
    try {
      return await this.request(await (this.way ??= this.find()), wanted);
    } catch {
      return null; // the long way tells
    }
  }

  private async request({ signer, host }: Way, wanted: WantedBytes): Promise<Buffer | null> {
    const { requestHandler, systemClockOffset } = this.client.config;
    const { key, range } = wanted;
    const request = await signer.sign(
      {
        ...host,
        method: 'GET',
        path: `${host.path}${key.split('/').map(encodeURIComponent).join('/')}`,
        query: {},
        headers: {
          host: host.port === undefined ? host.hostname : `${host.hostname}:${host.port}`,
          'x-amz-content-sha256': 'UNSIGNED-PAYLOAD',
          ...(range && { range: rangeHeader(range) }),
        },
      },
      { signingDate: new Date(Date.now() + systemClockOffset) },
    );
    const { response } = (await requestHandler.handle(
      request as Parameters<typeof requestHandler.handle>[0],
    )) as Answer;
    const { statusCode, headers, body } = response;
    const bytes = Number(headers['content-length']);
    if (statusCode === (range ? 206 : 200) && isWanted(bytes, wanted)) return await collect(body, bytes);
    if (statusCode < 300) body.destroy();
    else {
      body.resume(); // an error is short, and the connection is worth keeping
      this.isBarred ||= !ofTheObject.has(statusCode);
    }
    return null;
  }

  private async find(): Promise<Way> {
    const { bucket: Bucket, region: Region, endpoint: Endpoint, forcePathStyle: ForcePathStyle } = this.location;
    const { config } = this.client;
    const { url, properties } = config.endpointProvider({
      Bucket,
      Region,
      ForcePathStyle,
      ...(Endpoint === undefined ? {} : { Endpoint }),
    });
    const [scheme] = properties!['authSchemes'] as { name: string; signingName: string; signingRegion: string }[];
    const signer = await config.signer({ ...scheme!, properties: {} });
    const { protocol, hostname, port, pathname } = url;
    const path = pathname.endsWith('/') ? pathname : `${pathname}/`;
    return { signer, host: { protocol, hostname, path, ...(port !== '' && { port: Number(port) }) } };
  }
}

interface Answer {
  readonly response: {
    readonly statusCode: number;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: Readable;
  };
}

/** How a bucket is reached. */
interface Way {
  readonly signer: Awaited<ReturnType<S3Client['config']['signer']>>;
  readonly host: {
    readonly protocol: string;
    readonly hostname: string;
    readonly port?: number;
    /** With a slash at its end. */
    readonly path: string;
  };
}

/** `Range` (RFC 9110, 14.2): both ends are in it. */
export function rangeHeader({ offset, length }: BlobRange): string {
  return `bytes=${offset}-${offset + length - 1}`;
}

/** @param bytes how many an answer has, NaN when it does not say */
export function isWanted(bytes: number, { range, orLess }: Omit<WantedBytes, 'key'>): boolean {
  return range === undefined
    ? bytes >= 0 && bytes <= mostReadWhole
    : bytes === range.length || (orLess && bytes < range.length);
}

/** @throws when it ends before or behind its length */
async function collect(body: Readable, bytes: number): Promise<Buffer> {
  const content = Buffer.allocUnsafe(bytes);
  let at = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) at += chunk.copy(content, at);
  if (at !== bytes) throw new Error(`it ended after ${at} bytes`);
  return content;
}

import { setTimeout as sleep } from 'node:timers/promises';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  S3Client,
  S3ServiceException,
  paginateListObjectsV2,
  type GetObjectCommandOutput,
} from '@aws-sdk/client-s3';
import { DormouseError } from '@dormouse/errors';
import { limits } from '@dormouse/limits';
import { checkKey, checkPrefix, checkRange, isBlobKey } from './blob-key';
import { mostReadWhole, type BlobInfo, type BlobRange, type BlobStore, type BlobWriter } from './blob-store';
import { fromS3 } from './s3-errors';
import { isWanted, rangeHeader, S3ShortWay } from './s3-short-way';
import { PartBuffers, S3Writer, type S3ObjectName } from './s3-writer';
import { rangeBeyondEnd, tooLarge } from './storage-errors';
import type { S3Location } from './storage-url';

const attempts = {
  /** Of a request until its answer begins, by the SDK: throttling, 5xx, timeouts, connections lost; with backoff. */
  maxAttempts: 5,
  /** Of a read whose answer broke off: the SDK does not repeat those. */
  readAttempts: 4,
  readBackoffMs: 100,
} as const;

/**
 * Objects in a bucket of S3 or of a server that speaks its protocol. Needs conditional writes (If-None-Match) for
 * "written once" to hold against two writers at once, and a lifecycle rule that ends incomplete multipart uploads
 * after a day, for those of killed processes.
 */
export class S3Store implements BlobStore {
  private readonly client: S3Client;
  private readonly shortWay: S3ShortWay;
  private readonly buffers = new PartBuffers();

  constructor(private readonly location: S3Location) {
    const { region, endpoint, credentials, forcePathStyle } = location;
    this.client = new S3Client({
      region,
      forcePathStyle,
      maxAttempts: attempts.maxAttempts,
      requestHandler: { connectionTimeout: limits.s3Connect.ms, socketTimeout: limits.s3Silence.ms },
      ...(endpoint === undefined ? {} : { endpoint }),
      ...(credentials === undefined ? {} : { credentials }),
      cacheMiddleware: true, // what the SDK does around a request is put together once, and not for each
    });
    this.shortWay = new S3ShortWay(this.client, location);
  }

  async create(key: string): Promise<BlobWriter> {
    checkKey(key);
    return new S3Writer(this.client, key, this.name(key), this.buffers);
  }

  async read(key: string, range?: BlobRange): Promise<Buffer> {
    checkKey(key);
    if (range !== undefined) checkRange(key, range);
    // HTTP has no range without a byte in it.
    if (range?.length === 0) return this.readNothing(key, range);
    try {
      return await this.fetchAgain(key, range);
    } catch (error) {
      if (isInvalidRange(error)) throw rangeBeyondEnd(key, range!, (await this.stat(key)).bytes);
      throw fromS3(error, key, 'reading');
    }
  }

  async readStart(key: string, most: number): Promise<Buffer> {
    checkKey(key);
    try {
      return await this.fetchAgain(key, { offset: 0, length: most }, true);
    } catch (error) {
      if (isInvalidRange(error)) return Buffer.alloc(0); // it is empty
      throw fromS3(error, key, 'reading');
    }
  }

  async stat(key: string): Promise<BlobInfo> {
    checkKey(key);
    try {
      const { ContentLength, LastModified } = await this.client.send(new HeadObjectCommand(this.name(key)));
      return { key, bytes: ContentLength ?? 0, modifiedAt: LastModified ?? new Date(0) };
    } catch (error) {
      throw fromS3(error, key, 'looking at');
    }
  }

  async *list(prefix: string): AsyncIterable<BlobInfo> {
    checkPrefix(prefix);
    const { Bucket, Key: Prefix } = this.name(prefix);
    try {
      for await (const page of paginateListObjectsV2({ client: this.client }, { Bucket, Prefix })) {
        for (const { Key, Size, LastModified } of page.Contents ?? []) {
          const key = Key!.slice(this.location.prefix.length);
          if (isBlobKey(key)) yield { key, bytes: Size ?? 0, modifiedAt: LastModified ?? new Date(0) };
        }
      }
    } catch (error) {
      throw fromS3(error, prefix, 'listing');
    }
  }

  async delete(key: string): Promise<void> {
    checkKey(key);
    try {
      await this.client.send(new DeleteObjectCommand(this.name(key)));
    } catch (error) {
      throw fromS3(error, key, 'deleting');
    }
  }

  async availableBytes(): Promise<null> {
    return null;
  }

  async close(): Promise<void> {
    this.client.destroy();
  }

  private name(key: string): S3ObjectName {
    return { Bucket: this.location.bucket, Key: this.location.prefix + key };
  }

  private async readNothing(key: string, range: BlobRange): Promise<Buffer> {
    const { bytes } = await this.stat(key);
    if (range.offset > bytes) throw rangeBeyondEnd(key, range, bytes);
    return Buffer.alloc(0);
  }

  /** Reads anew when the answer broke off. */
  private async fetchAgain(...what: Parameters<S3Store['fetch']>): Promise<Buffer> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.fetch(...what);
      } catch (error) {
        if (!(error instanceof AnswerBrokeOff) || attempt === attempts.readAttempts) throw error;
        await sleep(attempts.readBackoffMs * 2 ** attempt * Math.random());
      }
    }
  }

  private async fetch(key: string, range: BlobRange | undefined, orLess = false): Promise<Buffer> {
    const name = this.name(key);
    return (await this.shortWay.read({ key: name.Key, range, orLess })) ?? this.fetchBySdk(key, range, orLess);
  }

  private async fetchBySdk(key: string, range: BlobRange | undefined, orLess: boolean): Promise<Buffer> {
    const { Body, ContentLength, ContentRange } = await this.client.send(
      new GetObjectCommand({
        ...this.name(key),
        ...(range === undefined ? {} : { Range: rangeHeader(range) }),
      }),
    );
    if (range !== undefined && !isWanted(ContentLength ?? NaN, { range, orLess })) {
      // Do not download what was not asked for.
      (Body as { destroy?: () => void } | undefined)?.destroy?.();
      throw wrongLength(key, range, ContentLength, ContentRange);
    }
    if (range === undefined && (ContentLength ?? 0) > mostReadWhole) {
      (Body as { destroy?: () => void } | undefined)?.destroy?.();
      throw tooLarge(key, ContentLength!);
    }
    const content = await collect(Body);
    if (ContentLength !== undefined && content.length !== ContentLength)
      throw new AnswerBrokeOff(`it ended after ${content.length} bytes`);
    return content;
  }
}

/** The connection was lost in the middle of an object: worth another try, which the SDK leaves to us. */
class AnswerBrokeOff extends Error {
  override readonly name = 'AnswerBrokeOff';
}

function isInvalidRange(error: unknown): boolean {
  return error instanceof S3ServiceException && error.name === 'InvalidRange';
}

async function collect(body: GetObjectCommandOutput['Body']): Promise<Buffer> {
  try {
    const content = (await body?.transformToByteArray()) ?? new Uint8Array();
    return Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  } catch (error) {
    throw new AnswerBrokeOff((error as Error).message, { cause: error });
  }
}

/** `Content-Range: bytes 0-99/1234` (RFC 9110, 14.4): what follows the slash is the size of the object. */
function wrongLength(
  key: string,
  range: BlobRange,
  length: number | undefined,
  contentRange: string | undefined,
): DormouseError {
  const bytes = Number(contentRange?.split('/')[1]);
  if (bytes < range.offset + range.length) return rangeBeyondEnd(key, range, bytes);
  const message = `asked for ${range.length} bytes of '${key}' the storage answers with ${length ?? 'an unknown number'}`;
  return new DormouseError('STORAGE_FAILED', message, { key });
}

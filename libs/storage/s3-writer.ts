import { randomUUID } from 'node:crypto';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
  type CompletedPart,
  type S3Client,
} from '@aws-sdk/client-s3';
import type { BlobWriter } from './blob-store';
import { fromS3, isRefusedCommit } from './s3-errors';
import { objectExists, writerEnded } from './storage-errors';

/** S3 wants 5 MiB at least and 10 000 parts at most: an object can have 78 GiB. */
const partBytes = 8 * 1024 * 1024;
/** Together with the part that is being filled: 32 MiB for a writer. */
const partsInFlight = 3;

/**
 * Memory for the parts of a store's writers. It is used again: what one object left behind would otherwise be there until a
 * collector runs, while the next ones take new memory.
 */
export class PartBuffers {
  private readonly spare: Buffer<ArrayBuffer>[] = [];

  take(): Buffer<ArrayBuffer> {
    return this.spare.pop() ?? Buffer.allocUnsafeSlow(partBytes);
  }

  /** Nobody sends it any more. */
  giveBack(buffer: Buffer<ArrayBuffer>): void {
    this.spare.push(buffer);
  }
}

export interface S3ObjectName {
  readonly Bucket: string;
  readonly Key: string;
}

/** Uploads parts while the object is still being written; an object of one part goes in a single request. */
export class S3Writer implements BlobWriter {
  private state: 'open' | 'failed' | 'committed' | 'aborted' = 'open';
  /** Tells our object from another writer's when the answer to a commit was lost on the way. */
  private readonly id = randomUUID();
  private readonly cancel = new AbortController();
  private readonly uploads = new Set<Promise<void>>();
  private readonly completed: CompletedPart[] = [];
  private uploadId: string | undefined;
  private uploadError: unknown;
  /** What is being filled; none before there is something for it. */
  private part: Buffer<ArrayBuffer> | null = null;
  private filled = 0;
  private commitAttempted = false;

  constructor(
    private readonly client: S3Client,
    private readonly key: string,
    private readonly name: S3ObjectName,
    private readonly buffers: PartBuffers,
  ) {}

  async write(chunk: Uint8Array): Promise<void> {
    await this.attempt('writing', async () => {
      for (let taken = 0; taken < chunk.length;) {
        // A full part waits for the next byte: it may turn out to be the whole object.
        if (this.filled === partBytes) await this.sendPart();
        const piece = chunk.subarray(taken, taken + partBytes - this.filled);
        (this.part ??= this.buffers.take()).set(piece, this.filled);
        this.filled += piece.length;
        taken += piece.length;
      }
    });
  }

  async commit(): Promise<void> {
    await this.attempt('committing', async () => {
      if (this.uploadId !== undefined) {
        if (this.filled > 0) await this.sendPart();
        await Promise.all(this.uploads);
        this.throwUploadError();
      }
      this.commitAttempted = true;
      try {
        await (this.uploadId === undefined ? this.putWhole() : this.completeUpload(this.uploadId));
      } catch (error) {
        if (!isRefusedCommit(error)) throw error;
        if (!(await this.isOurs())) throw objectExists(this.key, error);
      }
    });
    this.state = 'committed';
    if (this.part !== null) this.buffers.giveBack(this.part);
    this.part = null;
  }

  async abort(): Promise<void> {
    if (this.state === 'committed' || this.state === 'aborted') return;
    this.state = 'aborted';
    this.cancel.abort();
    // A part that arrives after the upload was aborted would stay, and be paid for.
    await Promise.all(this.uploads);
    // What fails here is invisible: unfinished uploads are for the bucket's lifecycle rule.
    await Promise.allSettled([this.abortUpload(), this.removeOurs()]);
  }

  private async attempt(doing: string, action: () => Promise<void>): Promise<void> {
    if (this.state !== 'open') throw writerEnded(this.key);
    try {
      this.throwUploadError();
      await action();
    } catch (error) {
      this.state = 'failed';
      throw fromS3(error, this.key, doing);
    }
  }

  private throwUploadError(): void {
    if (this.uploadError !== undefined) throw this.uploadError as Error;
  }

  private async sendPart(): Promise<void> {
    this.uploadId ??= await this.createUpload();
    while (this.uploads.size >= partsInFlight) await Promise.race(this.uploads);
    this.throwUploadError();
    const upload: Promise<void> = this.uploadPart(this.uploadId, this.completed.length + 1, this.part!, this.filled)
      .catch((error: unknown) => {
        this.uploadError ??= error;
      })
      .finally(() => this.uploads.delete(upload));
    this.uploads.add(upload);
    this.part = null;
    this.filled = 0;
  }

  private async createUpload(): Promise<string> {
    const { UploadId } = await this.client.send(
      new CreateMultipartUploadCommand({ ...this.name, ChecksumAlgorithm: 'CRC32', Metadata: { writer: this.id } }),
    );
    return UploadId!;
  }

  private async uploadPart(
    uploadId: string,
    number: number,
    buffer: Buffer<ArrayBuffer>,
    bytes: number,
  ): Promise<void> {
    const entry: CompletedPart = { PartNumber: number };
    this.completed.push(entry); // before the first await: the next part counts from here
    const { ETag, ChecksumCRC32 } = await this.client.send(
      new UploadPartCommand({
        ...this.name,
        UploadId: uploadId,
        PartNumber: number,
        Body: buffer.subarray(0, bytes),
        ChecksumAlgorithm: 'CRC32',
      }),
      { abortSignal: this.cancel.signal },
    );
    entry.ETag = ETag;
    entry.ChecksumCRC32 = ChecksumCRC32;
    this.buffers.giveBack(buffer);
  }

  private async completeUpload(uploadId: string): Promise<void> {
    await this.client.send(
      new CompleteMultipartUploadCommand({
        ...this.name,
        UploadId: uploadId,
        MultipartUpload: { Parts: this.completed },
        IfNoneMatch: '*',
      }),
    );
  }

  private async putWhole(): Promise<void> {
    await this.client.send(
      new PutObjectCommand({
        ...this.name,
        Body: this.part?.subarray(0, this.filled) ?? Buffer.alloc(0),
        ChecksumAlgorithm: 'CRC32',
        Metadata: { writer: this.id },
        IfNoneMatch: '*',
      }),
    );
  }

  private async isOurs(): Promise<boolean> {
    const { Metadata } = await this.client.send(new HeadObjectCommand(this.name));
    return Metadata?.['writer'] === this.id;
  }

  private async abortUpload(): Promise<void> {
    if (this.uploadId === undefined) return;
    await this.client.send(new AbortMultipartUploadCommand({ ...this.name, UploadId: this.uploadId }));
  }

  /** A commit that timed out may have succeeded. */
  private async removeOurs(): Promise<void> {
    if (this.commitAttempted && (await this.isOurs())) await this.client.send(new DeleteObjectCommand(this.name));
  }
}

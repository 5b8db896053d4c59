import { link, open, rm, unlink, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeDirectory } from '@dormouse/files';
import type { BlobWriter } from './blob-store';
import type { FileCalls } from './file-calls';
import { syncDirectories } from './sync-directories';
import { fromFileSystem, objectExists, writerEnded } from './storage-errors';

/**
 * How much may wait in the page cache before it is pushed to the disk. At most twice this much is dirty at the end,
 * so the last fsync, which a frozen guest waits for, is short.
 */
const writebackBytes = 16 * 1024 * 1024;

/** A delete prunes empty folders and may take one away between our making it and our linking into it. */
const linkAttempts = 5;

export interface FileWriterPaths {
  readonly root: string;
  readonly incoming: string;
  readonly target: string;
}

export class FileWriter implements BlobWriter {
  private state: 'open' | 'failed' | 'committed' | 'aborted' = 'open';
  private linked = false;
  private unsyncedBytes = 0;
  private writeback: Promise<void> = Promise.resolve();
  /** fsync(2) reports a lost write once per descriptor: forget it here and the commit would call the object durable. */
  private writebackError: unknown;

  private constructor(
    private readonly key: string,
    private readonly paths: FileWriterPaths,
    private readonly handle: FileHandle,
    private readonly calls: FileCalls,
  ) {}

  static async open(key: string, paths: FileWriterPaths, calls: FileCalls): Promise<FileWriter> {
    return new FileWriter(key, paths, await open(paths.incoming, 'wx', 0o600), calls);
  }

  async write(chunk: Uint8Array): Promise<void> {
    await this.attempt('writing', async () => {
      for (let written = 0; written < chunk.length;) {
        const { bytesWritten } = await this.handle.write(chunk, written, chunk.length - written);
        written += bytesWritten;
      }
      this.unsyncedBytes += chunk.length;
      if (this.unsyncedBytes >= writebackBytes) await this.startWriteback();
    });
  }

  async commit(): Promise<void> {
    await this.attempt('committing', async () => {
      await this.writebackDone();
      await this.handle.sync();
      await this.handle.close();
      await this.linkIntoPlace();
      await syncDirectories(dirname(this.paths.target), this.paths.root);
      await unlink(this.paths.incoming);
    });
    this.state = 'committed';
  }

  async abort(): Promise<void> {
    if (this.state === 'committed' || this.state === 'aborted') return;
    this.state = 'aborted';
    // One that cannot be closed or removed now belongs to the sweep, once this process is gone.
    await Promise.allSettled([this.calls.within(this.key, () => this.removed())]);
  }

  private async removed(): Promise<void> {
    await this.writeback;
    await Promise.allSettled([this.handle.close(), rm(this.paths.incoming, { force: true })]);
    if (this.linked) await Promise.allSettled([rm(this.paths.target, { force: true })]);
  }

  private async attempt(doing: string, action: () => Promise<void>): Promise<void> {
    if (this.state !== 'open') throw writerEnded(this.key);
    try {
      await this.calls.within(this.key, action);
    } catch (error) {
      this.state = 'failed';
      throw fromFileSystem(error, this.key, doing);
    }
  }

  private async startWriteback(): Promise<void> {
    await this.writebackDone();
    this.unsyncedBytes = 0;
    this.writeback = this.handle.datasync().catch((error: unknown) => {
      this.writebackError = error;
    });
  }

  private async writebackDone(): Promise<void> {
    await this.writeback;
    if (this.writebackError !== undefined) throw this.writebackError as Error;
  }

  /** link(2) and not rename(2): it refuses a name that is taken, so two writers of one key cannot both succeed. */
  private async linkIntoPlace(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await makeDirectory(dirname(this.paths.target));
        await link(this.paths.incoming, this.paths.target);
        this.linked = true;
        return;
      } catch (error) {
        const { code, syscall } = error as NodeJS.ErrnoException;
        if (code === 'EEXIST' && syscall === 'link') throw objectExists(this.key, error);
        if (code !== 'ENOENT' || attempt === linkAttempts) throw error;
      }
    }
  }
}

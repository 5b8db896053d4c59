import { constants, type Dirent } from 'node:fs';
import { access, open, readdir, rmdir, stat, statfs, unlink, type FileHandle } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { DormouseError } from '@dormouse/errors';
import { makeDirectory } from '@dormouse/files';
import { checkKey, checkPrefix, checkRange, isBlobKey } from './blob-key';
import { mostReadWhole, type BlobInfo, type BlobRange, type BlobStore, type BlobWriter } from './blob-store';
import { FileCalls } from './file-calls';
import { FileWriter } from './file-writer';
import { Incoming } from './incoming';
import { OpenFiles } from './open-files';
import { fromFileSystem, objectExists, objectMissing, rangeBeyondEnd, storeAway, tooLarge } from './storage-errors';
import { syncDirectories } from './sync-directories';

/** Waking a desktop is thousands of ranged reads in a handful of packs. */
const openFileLimit = 16;
/** Of a folder. One after the other, each would wait for whatever else the process is busy with. */
const listedTogether = 64;

/**
 * Objects as files below one directory, which several processes and hosts may share. An object is written under
 * another name on the same file system, synced, and linked into place; files are 0600, folders 0700.
 * The file system must know hard links (ext4, xfs, btrfs, NFS, tmpfs do).
 */
export class FileStore implements BlobStore {
  private readonly openFiles = new OpenFiles(openFileLimit);
  private readonly incoming: Incoming;
  private readonly calls = new FileCalls();

  private constructor(private readonly root: string) {
    this.incoming = new Incoming(root);
  }

  /** @throws STORAGE_FAILED, STORAGE_FULL when the directory cannot be made or written to. */
  static async open(directory: string): Promise<FileStore> {
    const root = resolve(directory);
    const store = new FileStore(root);
    try {
      await store.calls.within(root, async () => {
        const firstMade = await makeDirectory(root);
        if (firstMade !== null) await syncDirectories(root, dirname(firstMade));
        await store.incoming.prepare();
        await access(root, constants.R_OK | constants.W_OK | constants.X_OK);
      });
      return store;
    } catch (error) {
      throw fromFileSystem(error, root, 'opening the file store');
    }
  }

  /** One that was opened before. @throws STORAGE_FAILED also when there is none, and none is made */
  static async openAgain(directory: string): Promise<FileStore> {
    const root = resolve(directory);
    if (!(await new Incoming(root).isThere())) throw storeAway(root);
    return FileStore.open(root);
  }

  async create(key: string): Promise<BlobWriter> {
    checkKey(key);
    const target = join(this.root, key);
    try {
      return await this.calls.within(key, async () => {
        // What the dead left behind is cleared when room is needed: a reader, who wakes a desktop, never waits for it.
        await this.incoming.sweep();
        if (await exists(target)) throw objectExists(key);
        const paths = { root: this.root, incoming: this.incoming.newPath(), target };
        return FileWriter.open(key, paths, this.calls);
      });
    } catch (error) {
      throw fromFileSystem(error, key, 'creating');
    }
  }

  async read(key: string, range?: BlobRange): Promise<Buffer> {
    checkKey(key);
    if (range === undefined) return this.reading(key, (path) => readWhole(key, path));
    checkRange(key, range);
    return this.reading(key, (path) =>
      this.openFiles.use(path, ({ handle, bytes }) => readRange(key, handle, bytes, range)),
    );
  }

  async readStart(key: string, most: number): Promise<Buffer> {
    checkKey(key);
    return this.reading(key, (path) => readWhole(key, path, most));
  }

  async stat(key: string): Promise<BlobInfo> {
    checkKey(key);
    const info = await this.lookAt(key);
    if (info === null) throw await this.missing(key);
    return info;
  }

  async *list(prefix: string): AsyncIterable<BlobInfo> {
    checkPrefix(prefix);
    try {
      await this.calls.lookUp(prefix, () => this.incoming.sweep());
    } catch (error) {
      throw fromFileSystem(error, prefix, 'sweeping before listing');
    }
    const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    for await (const info of this.walk(folder)) {
      if (info.key.startsWith(prefix)) yield info;
    }
  }

  async delete(key: string): Promise<void> {
    checkKey(key);
    const path = join(this.root, key);
    try {
      await this.calls.lookUp(key, async () => {
        await this.openFiles.forget(path);
        await unlink(path);
        await this.pruneAbove(path);
      });
    } catch (error) {
      if (!notThere(error)) throw fromFileSystem(error, key, 'deleting');
    }
  }

  async availableBytes(): Promise<number> {
    try {
      const { bavail, bsize } = await this.calls.lookUp(this.root, () => statfs(this.root));
      return bavail * bsize;
    } catch (error) {
      throw fromFileSystem(error, this.root, 'measuring the free space of');
    }
  }

  async close(): Promise<void> {
    await this.openFiles.close();
  }

  private async reading(key: string, read: (path: string) => Promise<Buffer>): Promise<Buffer> {
    try {
      return await this.calls.within(key, () => read(join(this.root, key)));
    } catch (error) {
      throw notThere(error) ? await this.missing(key, error) : fromFileSystem(error, key, 'reading');
    }
  }

  /** A directory that is empty, since what was mounted there is away, has lost no object: it may come back. */
  private async missing(key: string, cause?: unknown): Promise<DormouseError> {
    return (await this.calls.within(this.root, () => this.incoming.isThere()))
      ? objectMissing(key, cause)
      : storeAway(this.root, cause);
  }

  /** `folder` is empty or ends with a slash. Folders and files may come and go meanwhile. */
  private async *walk(folder: string): AsyncIterable<BlobInfo> {
    const entries = await this.calls.lookUp(folder, () => entriesOf(join(this.root, folder), folder));
    for (let at = 0; at < entries.length; at += listedTogether) {
      const some = entries.slice(at, at + listedTogether);
      yield* (await Promise.all(some.map((entry) => this.below(folder + entry.name, entry)))).flat();
    }
  }

  private async below(key: string, entry: Dirent): Promise<BlobInfo[]> {
    if (!isBlobKey(key)) return []; // ours, like the incoming folder, or the file system's, like lost+found
    if (entry.isDirectory()) return all(this.walk(`${key}/`));
    const info = await this.lookAt(key);
    return info === null ? [] : [info];
  }

  private lookAt(key: string): Promise<BlobInfo | null> {
    return this.calls.lookUp(key, () => statObject(join(this.root, key), key));
  }

  private async pruneAbove(path: string): Promise<void> {
    for (let folder = dirname(path); folder !== this.root; folder = dirname(folder)) {
      try {
        await rmdir(folder);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'ENOTEMPTY' || code === 'EEXIST') return;
        if (code !== 'ENOENT') throw error; // ENOENT: another delete pruned it first
      }
    }
  }
}

/** No object is there: no such name, a folder of that name, or a file where a folder was expected. */
function notThere(error: unknown): boolean {
  return ['ENOENT', 'EISDIR', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if (notThere(error)) return false;
    throw error;
  }
}

/** @param most left out, an object that is larger than is read at once is refused */
async function readWhole(key: string, path: string, most?: number): Promise<Buffer> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    if (most === undefined && size > mostReadWhole) throw tooLarge(key, size);
    return await readRange(key, handle, size, { offset: 0, length: Math.min(size, most ?? size) });
  } finally {
    await handle.close();
  }
}

async function readRange(key: string, handle: FileHandle, bytes: number, range: BlobRange): Promise<Buffer> {
  // Before anything is allocated: the length may come out of a damaged page map.
  if (range.offset + range.length > bytes) throw rangeBeyondEnd(key, range, bytes);
  // Not out of Node's shared pool: whoever gets it may hand its memory over to a worker thread.
  const content = Buffer.allocUnsafeSlow(range.length);
  for (let done = 0; done < range.length;) {
    const { bytesRead } = await handle.read(content, done, range.length - done, range.offset + done);
    if (bytesRead === 0) throw rangeBeyondEnd(key, range, range.offset + done);
    done += bytesRead;
  }
  return content;
}

async function statObject(path: string, key: string): Promise<BlobInfo | null> {
  try {
    const found = await stat(path);
    return found.isFile() ? { key, bytes: found.size, modifiedAt: found.mtime } : null;
  } catch (error) {
    if (notThere(error)) return null;
    throw fromFileSystem(error, key, 'looking at');
  }
}

async function entriesOf(path: string, key: string) {
  try {
    return await readdir(path, { withFileTypes: true });
  } catch (error) {
    if (notThere(error)) return [];
    throw fromFileSystem(error, key, 'listing');
  }
}

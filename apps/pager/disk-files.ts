import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { pageBytes, type DiskBlocks } from '@dormouse/checkpoint';
import { DormouseError } from '@dormouse/errors';
import type { DiskFiles } from '@dormouse/pager-control';

/** The file of a disk source. @throws DISK_SOURCE_MISSING when the name means nothing here */
export function pathOf({ images, layers }: DiskFiles, source: string): string {
  const slash = source.indexOf('/');
  const owner = source.slice(0, slash);
  const disk = source.slice(slash + 1);
  const path = owner === 'image' ? images[Number(disk)] : join(layers, `${owner}.${disk}.qcow2`);
  if (path === undefined) throw missing(source, `the machine has no disk ${disk}`);
  return path;
}

/** The disk files of a checkpoint, opened when a page of theirs is wanted. Throws DISK_SOURCE_MISSING, and nothing else. */
export class DiskFileBlocks implements DiskBlocks {
  private readonly opened = new Map<string, Promise<FileHandle>>();

  constructor(private readonly files: DiskFiles) {}

  async read(source: string, block: number, count: number, into?: Buffer): Promise<Buffer> {
    const file = await this.file(source);
    const content = into ?? Buffer.allocUnsafe(count * pageBytes);
    try {
      const { bytesRead } = await file.read(content, 0, count * pageBytes, block * pageBytes);
      return content.subarray(0, bytesRead);
    } catch (cause) {
      throw missing(source, `block ${block} cannot be read: ${(cause as Error).message}`, cause);
    }
  }

  async close(): Promise<void> {
    for (const opening of this.opened.values()) await (await opening).close();
  }

  private file(source: string): Promise<FileHandle> {
    let opening = this.opened.get(source);
    if (opening === undefined) {
      const path = pathOf(this.files, source);
      opening = open(path).catch((cause: NodeJS.ErrnoException) => {
        throw missing(source, `${path}: ${cause.code}`, cause);
      });
      opening.catch(() => this.opened.delete(source)); // whoever asked hears of it; the next one tries again
      this.opened.set(source, opening);
    }
    return opening;
  }
}

/** A file that is read at once, while nothing else may happen. */
export class DiskFileNow {
  private readonly file: number;

  constructor(path: string) {
    this.file = openSync(path, 'r');
  }

  get blocks(): number {
    return Math.floor(fstatSync(this.file).size / pageBytes);
  }

  read(block: number): Buffer {
    const content = Buffer.alloc(pageBytes);
    return content.subarray(0, readSync(this.file, content, 0, pageBytes, block * pageBytes));
  }

  close(): void {
    closeSync(this.file);
  }
}

function missing(source: string, why: string, cause?: unknown): DormouseError {
  return new DormouseError('DISK_SOURCE_MISSING', `disk source ${source} is not there (${why})`, { source }, { cause });
}

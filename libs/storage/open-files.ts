import { open, type FileHandle } from 'node:fs/promises';

export interface OpenFile {
  readonly handle: FileHandle;
  /** As it was when the file was opened. */
  readonly bytes: number;
}

interface Entry {
  readonly opened: Promise<OpenFile>;
  users: number;
  dropped: boolean;
}

/**
 * A few files kept open for reading, the least recently used one closed first. Good only for files that never change.
 * A file that was deleted behind our back stays readable until it is closed, as Linux has it.
 */
export class OpenFiles {
  /** In the order of use: the first is the next to go. */
  private readonly entries = new Map<string, Entry>();

  constructor(private readonly limit: number) {}

  /** Runs `action` on the open file; the file is not closed before it is done. */
  async use<T>(path: string, action: (file: OpenFile) => Promise<T>): Promise<T> {
    const entry = this.entries.get(path) ?? { opened: openFile(path), users: 0, dropped: false };
    this.entries.delete(path);
    this.entries.set(path, entry);
    entry.users++;
    try {
      await this.dropOldest();
      return await action(await this.settled(path, entry));
    } finally {
      entry.users--;
      await closeUnused(entry);
    }
  }

  /** Closes the file, when it is open, as soon as nobody reads it any more. */
  async forget(path: string): Promise<void> {
    const entry = this.entries.get(path);
    if (entry === undefined) return;
    this.entries.delete(path);
    entry.dropped = true;
    await closeUnused(entry);
  }

  async close(): Promise<void> {
    await Promise.all([...this.entries.keys()].map((path) => this.forget(path)));
  }

  private async dropOldest(): Promise<void> {
    while (this.entries.size > this.limit) {
      const [oldest] = this.entries.keys();
      await this.forget(oldest!);
    }
  }

  private async settled(path: string, entry: Entry): Promise<OpenFile> {
    try {
      return await entry.opened;
    } catch (error) {
      // A file that could not be opened must be tried again next time.
      if (this.entries.get(path) === entry) this.entries.delete(path);
      throw error;
    }
  }
}

async function openFile(path: string): Promise<OpenFile> {
  const handle = await open(path, 'r');
  try {
    return { handle, bytes: (await handle.stat()).size };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function closeUnused(entry: Entry): Promise<void> {
  if (!entry.dropped || entry.users > 0) return;
  const [result] = await Promise.allSettled([entry.opened]);
  if (result.status === 'fulfilled') await result.value.handle.close();
}

import type { BlobInfo, BlobRange, BlobStore, BlobWriter } from '@dormouse/storage';

/** Objects in memory, for as long as nobody needs them: what a warm-up saves is woken and forgotten. */
export class MemoryStore implements BlobStore {
  private readonly objects = new Map<string, Buffer>();

  create(key: string): Promise<BlobWriter> {
    const chunks: Buffer[] = [];
    return Promise.resolve({
      write: (chunk) => Promise.resolve(void chunks.push(Buffer.from(chunk))),
      commit: () => Promise.resolve(void this.objects.set(key, Buffer.concat(chunks))),
      abort: () => Promise.resolve(),
    });
  }

  read(key: string, range?: BlobRange): Promise<Buffer> {
    const object = this.objects.get(key)!;
    return Promise.resolve(range ? object.subarray(range.offset, range.offset + range.length) : object);
  }

  readStart(key: string, most: number): Promise<Buffer> {
    return this.read(key, { offset: 0, length: most });
  }

  stat(key: string): Promise<BlobInfo> {
    return Promise.resolve({ key, bytes: this.objects.get(key)!.length, modifiedAt: new Date() });
  }

  async *list(prefix: string): AsyncGenerator<BlobInfo> {
    for (const key of this.objects.keys()) if (key.startsWith(prefix)) yield await this.stat(key);
  }

  delete(key: string): Promise<void> {
    this.objects.delete(key);
    return Promise.resolve();
  }

  availableBytes(): Promise<null> {
    return Promise.resolve(null);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

import { createHash } from 'node:crypto';
import type { BlobStore, BlobWriter } from '@dormouse/storage';
import type { ObjectCipher } from './encryption';
import type { HashList } from './hash-list';
import { encodeBehindHashes, type KnownPages } from './known-pages';
import type { ObjectReference } from './manifest-shape';

/**
 * Writes the known pages: 16 bytes for each page that was ever stored, which is most of what is written at the end of a save. So
 * they are begun while the guest still runs.
 */
export class KnownPagesWriter {
  private readonly digest = createHash('sha256');
  private bytes = 0;
  private writer: BlobWriter | null = null;
  /** Hashes that have been written, or are being. */
  private hashes = 0;
  private writing: Promise<void> = Promise.resolve();

  constructor(
    private readonly store: BlobStore,
    private readonly key: string,
    private readonly cipher: ObjectCipher,
  ) {}

  /** Begins with the hashes that are there, which must not change any more. Once at most. @throws the storage's own error */
  begin(list: HashList): Promise<void> {
    this.hashes = list.length;
    this.writing = this.append(list.parts(0, this.hashes));
    return this.writing;
  }

  /** Writes the rest, when the beginning is written; resolves when all of it is durable. @throws the storage's own error */
  async finish(known: KnownPages): Promise<ObjectReference> {
    const { slotHashes } = known;
    await this.append([...slotHashes.parts(this.hashes, slotHashes.length), ...encodeBehindHashes(known)]);
    await this.write(this.cipher.tag());
    await this.writer!.commit();
    return { bytes: this.bytes, sha256: this.digest.digest('hex') };
  }

  /** Leaves nothing behind of what was not finished. To be called when `finish`, if it was called, has ended. */
  async abort(): Promise<void> {
    await this.writing.catch(() => undefined); // whoever began has heard of it
    await this.writer?.abort();
  }

  private async append(plaintext: readonly Buffer[]): Promise<void> {
    if (this.writer === null) {
      this.writer = await this.store.create(this.key);
      await this.write(this.cipher.header);
    }
    for (const part of plaintext) await this.write(this.cipher.update(part));
  }

  private async write(part: Buffer): Promise<void> {
    this.digest.update(part);
    this.bytes += part.length;
    await this.writer!.write(part);
  }
}

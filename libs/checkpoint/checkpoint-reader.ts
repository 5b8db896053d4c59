import { DormouseError } from '@dormouse/errors';
import type { BlobStore } from '@dormouse/storage';
import type { DiskBlocks } from './disk-catalog';
import { CheckpointSecrets } from './encryption';
import { FrameRun } from './frame-run';
import type { FrameTable } from './frame-table';
import { pageBytes } from './layout';
import type { Manifest } from './manifest-shape';
import { objectKeys } from './object-keys';
import { hashPage } from './page-hash';
import type { PageMap } from './page-map';
import { readRange } from './read-objects';
import type { ReadingKeys } from './encryption';

/** Bytes between two frames that nobody needs any more: reading them takes less time than another request. */
const widestGapBytes = 128 * 1024;

/** Reads the pages of one finished checkpoint. Everything is checked before it is handed out. */
export class CheckpointReader {
  private readonly packSecrets: { number: number; key: Buffer; object: string }[];

  constructor(
    private readonly store: BlobStore,
    readonly manifest: Manifest,
    readonly map: PageMap,
    readonly frames: FrameTable,
    private readonly keys: ReadingKeys,
    private readonly disks: DiskBlocks,
  ) {
    const secrets = new Map<string, CheckpointSecrets>();
    this.packSecrets = manifest.packs.map(({ checkpointId, number }) => {
      const known = secrets.get(checkpointId) ?? new CheckpointSecrets(keys.dataKey, checkpointId);
      secrets.set(checkpointId, known);
      return { number, key: known.pack, object: objectKeys(manifest.desktopId, checkpointId).pack(number) };
    });
  }

  /**
   * Frames `first` … `first + count - 1`, in one read; they must lie in one pack, hardly apart (`runLength`).
   * @throws CHECKPOINT_INCOMPLETE, or STORAGE_FAILED when the store does not answer
   */
  async readRun(first: number, count: number): Promise<FrameRun> {
    const start = this.frames.get(first);
    const last = this.frames.get(first + count - 1);
    const pack = this.packSecrets[start.pack]!;
    const length = last.offset + last.length - start.offset;
    const { bytes } = this.manifest.packs[start.pack]!;
    const stored = await readRange(this.store, pack.object, bytes, { offset: start.offset, length });
    return new FrameRun(this.frames, pack, first, count, stored);
  }

  /** How many frames from `first` on, `most` at most and one or `mostBytes` as they are stored, `readRun` can take at once. */
  runLength(first: number, most: number, mostBytes = Infinity): number {
    const { pack, offset, length } = this.frames.get(first);
    let end = offset + length;
    let count = 1;
    while (count < most && first + count < this.frames.length) {
      const next = this.frames.get(first + count);
      const gap = next.offset - end;
      if (next.pack !== pack || gap < 0 || gap > widestGapBytes) break;
      if (next.offset + next.length - offset > mostBytes) break;
      end = next.offset + next.length;
      count++;
    }
    return count;
  }

  /** Blocks of a disk source, unchecked: `checkDiskPage` checks each. @throws DISK_SOURCE_MISSING */
  readBlocks(source: number, block: number, count: number, into?: Buffer): Promise<Buffer> {
    return this.disks.read(this.manifest.diskSources[source]!.name, block, count, into);
  }

  /**
   * A page of kind `disk`, found `at` bytes into blocks that were read.
   * @throws DISK_SOURCE_MISSING when they end before it, DISK_SOURCE_CHANGED when it is not the content the guest had
   */
  checkDiskPage(page: number, blocks: Buffer, at: number): void {
    const content = blocks.subarray(at, at + pageBytes);
    const source = this.manifest.diskSources[this.map.sourceOf(page)]!.name;
    const block = this.map.blockOf(page);
    if (content.length < pageBytes) {
      throw new DormouseError(
        'DISK_SOURCE_MISSING',
        `disk source ${source} ends before block ${block}, where page ${page} stood; restore the file from before it was cut`,
        { source, block, page },
      );
    }
    if (this.map.hasTag(page, hashPage(this.keys.contentKey, content), 0)) return;
    throw new DormouseError(
      'DISK_SOURCE_CHANGED',
      `block ${block} of disk source ${source} no longer holds what page ${page} had; restore the file from before it was changed`,
      { source, block, page },
    );
  }
}

import { open } from 'node:fs/promises';
import {
  consecutive,
  ContentTable,
  pageBytes,
  pageHashBytes,
  type DiskCatalog,
  type DiskPlace,
  type PageHasher,
} from '@dormouse/checkpoint';
import type { DiskFiles } from '@dormouse/pager-control';
import { DiskFileNow, pathOf } from '../disk-files';

/** What is known of a golden image's content: where a page with some hash stands in its file. */
export interface ImageIndex {
  /** The block, or -1. */
  lookup(hashes: Buffer, at: number): number;
}

/** Blocks that are read and hashed together. */
const scanBlocks = 256;
/** The guest's user waits for nobody here, but the save does. */
const longestScanMs = 1_500;

const zeroBlock = Buffer.alloc(pageBytes);

/** What stands in the disk files of a machine that is being saved. */
export class DiskContents implements DiskCatalog {
  /** Page hash → disk, block, of the layer the machine writes to. */
  private readonly inLayer = new ContentTable();
  private readonly opened = new Map<string, DiskFileNow>();

  /**
   * @param indexes of the images, null where there is none
   * @param generation whose layers the machine writes to, or null
   */
  constructor(
    private readonly files: DiskFiles,
    private readonly indexes: readonly (ImageIndex | null)[],
    private readonly generation: string | null,
  ) {}

  /** Looks through the layers the machine writes to, for as long as that is worth it. */
  async scanLayers(hasher: PageHasher): Promise<void> {
    if (this.generation === null) return;
    const until = performance.now() + longestScanMs;
    for (const disk of this.files.images.keys()) await this.scan(disk, hasher, until);
  }

  find(hashes: Buffer, at: number): DiskPlace | null {
    for (const [disk, index] of this.indexes.entries()) {
      const block = index?.lookup(hashes, at) ?? -1;
      if (block >= 0) return { source: `image/${disk}`, block, settled: true };
    }
    const entry = this.inLayer.find(hashes, at);
    if (entry < 0) return null;
    return { source: this.layer(this.inLayer.first(entry)), block: this.inLayer.second(entry), settled: false };
  }

  blocks(source: string): number {
    return this.file(source).blocks;
  }

  readNow(source: string, block: number): Buffer {
    return this.file(source).read(block);
  }

  close(): void {
    for (const file of this.opened.values()) file.close();
  }

  private async scan(disk: number, hasher: PageHasher, until: number): Promise<void> {
    const file = await open(pathOf(this.files, this.layer(disk)));
    try {
      const content = hasher.allocate(scanBlocks * pageBytes);
      for (let first = 0; performance.now() < until; first += scanBlocks) {
        const { bytesRead } = await file.read(content, 0, content.length, first * pageBytes);
        const count = Math.floor(bytesRead / pageBytes);
        if (count === 0) return;
        const hashes = await hasher.hash(content, consecutive(count));
        for (let n = 0; n < count; n++) {
          const isZero = zeroBlock.compare(content, n * pageBytes, (n + 1) * pageBytes) === 0;
          if (!isZero) this.inLayer.set(hashes, n * pageHashBytes, disk, first + n);
        }
      }
    } finally {
      await file.close();
    }
  }

  private layer(disk: number): string {
    return `${this.generation}/${disk}`;
  }

  private file(source: string): DiskFileNow {
    let file = this.opened.get(source);
    if (file === undefined) this.opened.set(source, (file = new DiskFileNow(pathOf(this.files, source))));
    return file;
  }
}

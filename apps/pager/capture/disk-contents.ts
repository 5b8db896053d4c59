import { open } from 'node:fs/promises';
import {
  blockPlace,
  consecutive,
  ContentTable,
  pageBytes,
  pageHashBytes,
  type DiskCatalog,
  type DiskFile,
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

/** What stands in the disk files of a machine that is being saved: its images, and the layers it writes to. */
export class DiskContents implements DiskCatalog {
  /** The images, and behind them the layers in the same order. */
  readonly files: readonly DiskFile[];
  private readonly disks: number;
  /** Page hash → disk, block, of the layers. */
  private readonly inLayers = new ContentTable();
  private readonly opened = new Map<number, DiskFileNow>();

  /**
   * @param indexes of the images, null where there is none
   * @param generation whose layers the machine writes to, or null
   */
  constructor(
    private readonly where: DiskFiles,
    private readonly indexes: readonly (ImageIndex | null)[],
    generation: string | null,
  ) {
    this.disks = where.images.length;
    this.files = [
      ...where.images.map((_, disk) => ({ name: `image/${disk}`, settled: true })),
      ...(generation === null ? [] : where.images).map((_, disk) => ({
        name: `${generation}/${disk}`,
        settled: false,
      })),
    ];
  }

  /** Looks through the layers the machine writes to, for as long as that is worth it. */
  async scanLayers(hasher: PageHasher): Promise<void> {
    const until = performance.now() + longestScanMs;
    for (let file = this.disks; file < this.files.length; file++) await this.scan(file, hasher, until);
  }

  find(hashes: Buffer, at: number): number {
    for (let disk = 0; disk < this.disks; disk++) {
      const block = this.indexes[disk]?.lookup(hashes, at) ?? -1;
      if (block >= 0) return blockPlace(disk, block);
    }
    const entry = this.inLayers.find(hashes, at);
    return entry < 0 ? -1 : blockPlace(this.inLayers.first(entry), this.inLayers.second(entry));
  }

  blocks(file: number): number {
    return this.file(file).blocks;
  }

  readNow(file: number, block: number): Buffer {
    return this.file(file).read(block);
  }

  close(): void {
    for (const file of this.opened.values()) file.close();
  }

  private async scan(layer: number, hasher: PageHasher, until: number): Promise<void> {
    const file = await open(this.path(layer));
    try {
      const content = hasher.allocate(scanBlocks * pageBytes);
      for (let first = 0; performance.now() < until; first += scanBlocks) {
        const { bytesRead } = await file.read(content, 0, content.length, first * pageBytes);
        const count = Math.floor(bytesRead / pageBytes);
        if (count === 0) return;
        const hashes = await hasher.hash(content, consecutive(count));
        for (let n = 0; n < count; n++) {
          const isZero = zeroBlock.compare(content, n * pageBytes, (n + 1) * pageBytes) === 0;
          if (!isZero) this.inLayers.set(hashes, n * pageHashBytes, layer, first + n);
        }
      }
    } finally {
      await file.close();
    }
  }

  private file(file: number): DiskFileNow {
    let now = this.opened.get(file);
    if (now === undefined) this.opened.set(file, (now = new DiskFileNow(this.path(file))));
    return now;
  }

  private path(file: number): string {
    return pathOf(this.where, this.files[file]!.name);
  }
}

/** A block of a disk source. */
export interface DiskPlace {
  /** Name of the disk source. */
  readonly source: string;
  readonly block: number;
  /**
   * False while the machine may still write to the file: the content is looked at again when it is frozen and its disks are
   * flushed.
   */
  readonly settled: boolean;
}

/** The content of a machine's disk files, for a save: what stands there is not stored again. */
export interface DiskCatalog {
  /** Where the page with this hash stands, or null. */
  find(hashes: Buffer, at: number): DiskPlace | null;
  /** Whole blocks of the file now. */
  blocks(source: string): number;
  /** 4096 bytes, at once: the machine is frozen when this is called. Fewer when the file has become shorter. */
  readNow(source: string, block: number): Buffer;
}

/** Disk files of a checkpoint, for a wake. */
export interface DiskBlocks {
  /**
   * `count` blocks; fewer at the end of the file.
   * @throws DISK_SOURCE_MISSING, or what the file system says
   */
  read(source: string, block: number, count: number): Promise<Buffer>;
}

/** A machine without disks, or one whose disks nobody has looked at. */
export const noDisks: DiskCatalog & DiskBlocks = {
  find: () => null,
  blocks: () => 0,
  readNow: () => Buffer.alloc(0),
  read: () => Promise.resolve(Buffer.alloc(0)),
};

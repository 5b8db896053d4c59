/** A file that may hold content of guest pages. */
export interface DiskFile {
  /** Name of the disk source. */
  readonly name: string;
  /**
   * False while the machine may still write to it: what was found there is looked at again when the machine is frozen and
   * its disks are flushed.
   */
  readonly settled: boolean;
}

/** The content of a machine's disk files, for a save: what stands there is not stored again. */
export interface DiskCatalog {
  /** By their numbers, which the other members go by. */
  readonly files: readonly DiskFile[];
  /** Where the page with this hash stands, `blockPlace(file, block)`; -1 when it is nowhere. */
  find(hashes: Buffer, at: number): number;
  /** Whole blocks of a file now. */
  blocks(file: number): number;
  /** 4096 bytes, at once: the machine is frozen when this is called. Fewer when the file has become shorter. */
  readNow(file: number, block: number): Buffer;
}

/** Disk files of a checkpoint, for a wake. */
export interface DiskBlocks {
  /**
   * `count` blocks; fewer at the end of the file.
   * @param into memory for as many; new memory when there is none
   * @throws DISK_SOURCE_MISSING, or what the file system says
   */
  read(source: string, block: number, count: number, into?: Buffer): Promise<Buffer>;
}

/** A machine without disks, or one whose disks nobody has looked at. */
export const noDisks: DiskCatalog & DiskBlocks = {
  files: [],
  find: () => -1,
  blocks: () => 0,
  readNow: () => Buffer.alloc(0),
  read: () => Promise.resolve(Buffer.alloc(0)),
};

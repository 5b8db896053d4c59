/**
 * The numbers of the stream, big-endian throughout. Sources: QEMU migration/savevm.h, migration/ram.c,
 * migration/migration.h.
 */

/** One guest page, the unit of everything. */
export const pageBytes = 4096;

/** A piece of guest memory as QEMU names it: main memory, video memory, firmware and tables are blocks of their own. */
export interface RamBlock {
  readonly name: string;
  readonly bytes: number;
}

export const streamMagic = 0x5145564d;
export const streamVersion = 3;

/** First byte of each part of the stream (QEMU_VM_*). */
export const sectionType = {
  eof: 0x00,
  start: 0x01,
  part: 0x02,
  end: 0x03,
  full: 0x04,
  subsection: 0x05,
  description: 0x06,
  configuration: 0x07,
  command: 0x08,
  footer: 0x7e,
} as const;

/** u16 after a command section's type byte (MIG_CMD_*). */
export const commandType = {
  openReturnPath: 1,
  ping: 2,
  postcopyAdvise: 3,
  postcopyListen: 4,
  postcopyRun: 5,
  postcopyRamDiscard: 6,
  packaged: 7,
  enableColo: 8,
  postcopyResume: 9,
  receivedBitmap: 10,
  switchoverStart: 11,
} as const;

/** Low twelve bits of the u64 that opens each record of the `ram` section (RAM_SAVE_FLAG_*). */
export const ramFlag = {
  zero: 0x02,
  memorySize: 0x04,
  page: 0x08,
  endOfSection: 0x10,
  sameBlock: 0x20,
} as const;

export const ramFlagMask = 0xfff;

/** The live section that carries memory, and the version both QEMU 7.2 and 10 write. */
export const ramSection = { name: 'ram', instance: 0, version: 4 } as const;

/** u16 that opens each message on the return path (MIG_RP_MSG_*). */
export const returnPathType = {
  shut: 1,
  pong: 2,
  requestPagesOfBlock: 3,
  requestPages: 4,
  receivedBitmap: 5,
  resumeAcknowledged: 6,
  switchoverAcknowledged: 7,
} as const;

/** Closes a bitmap on the return path (RAMBLOCK_RECV_BITMAP_ENDING). */
export const receivedBitmapEnd = 0x0123456789abcdefn;

/** Ranges of one RAM_DISCARD command at most, as QEMU itself sends them (MAX_DISCARDS_PER_COMMAND). */
export const discardRangesPerCommand = 12;

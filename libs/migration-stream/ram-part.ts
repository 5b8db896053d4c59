import { pageBytes, ramFlag, sectionType, type RamBlock } from './layout';
import { endOfRam, ramHeader } from './stream-encoder';

const header = ramHeader(sectionType.part);
const closing = endOfRam();

/** Builds one part of the ram section, page by page, into a single buffer. */
export class RamPart {
  private buffer: Buffer;
  private length: number;
  /** Of the page added last. */
  private block: RamBlock | null = null;

  /** @param memory is written over, and as large as the part may become; one that needs more takes other memory */
  constructor(memory: Buffer) {
    this.buffer = memory;
    this.length = 0;
    this.reserve(header.length);
    this.length = header.copy(this.buffer);
  }

  /** What it stands in. */
  get memory(): Buffer {
    return this.buffer;
  }

  get empty(): boolean {
    return this.length === header.length;
  }

  /** Adds the page that begins `pageIndex` pages into `block`: 4096 bytes of `source` from `offset`. */
  addPage(block: RamBlock, pageIndex: number, source: Buffer, offset: number): void {
    this.head(block, pageIndex, ramFlag.page, pageBytes);
    this.length += source.copy(this.buffer, this.length, offset, offset + pageBytes);
  }

  addZeroPage(block: RamBlock, pageIndex: number): void {
    this.head(block, pageIndex, ramFlag.zero, 1);
    this.buffer[this.length++] = 0;
  }

  /** The whole part, closed. The builder must not be used afterwards. */
  finish(): Buffer {
    this.reserve(0);
    this.length += closing.copy(this.buffer, this.length);
    return this.buffer.subarray(0, this.length);
  }

  /** u64 offset | flag, and unless the page before it is in the same block: u8 length + block name. */
  private head(block: RamBlock, pageIndex: number, flag: number, contentBytes: number): void {
    this.reserve(9 + block.name.length + contentBytes);
    const offset = pageIndex * pageBytes;
    const isSame = block === this.block;
    this.buffer.writeUInt32BE(Math.floor(offset / 0x1_0000_0000), this.length);
    this.buffer.writeUInt32BE((offset % 0x1_0000_0000) + flag + (isSame ? ramFlag.sameBlock : 0), this.length + 4);
    this.length += 8;
    if (isSame) return;
    this.buffer[this.length] = block.name.length;
    this.length += 1 + this.buffer.write(block.name, this.length + 1, 'latin1');
    this.block = block;
  }

  private reserve(bytes: number): void {
    const needed = this.length + bytes + closing.length;
    if (needed <= this.buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, this.buffer.length * 2));
    this.buffer.copy(larger, 0, 0, this.length);
    this.buffer = larger;
  }
}

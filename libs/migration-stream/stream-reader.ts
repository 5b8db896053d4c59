import type { DormouseError } from '@dormouse/errors';
import { deviceStateEnd } from './device-state-end';
import {
  commandType,
  pageBytes,
  ramFlag,
  ramFlagMask,
  ramSection,
  sectionType,
  streamMagic,
  streamVersion,
  type RamBlock,
} from './layout';
import { malformed } from './malformed';

/** Receives what the stream holds, in its order. A page may come many times: the last one counts. */
export interface MigrationStreamHandler {
  /** Once, before any page. */
  blocks(blocks: readonly RamBlock[]): void;
  /** The page at `pageIndex` of block number `block` holds only zeros. */
  zeroPage(block: number, pageIndex: number): void;
  /** Its content is the 4096 bytes of `source` from `offset`; they are only valid during the call. */
  page(block: number, pageIndex: number, source: Buffer, offset: number): void;
}

/** Longest record of the RAM section and longest section header, rounded up: what may straddle two chunks. */
const straddleBytes = 16 * 1024;
const longestConfigurationBytes = 8 * 1024;
/** Device state is some hundred KiB; whatever claims more is not a stream we should collect in memory. */
const longestDeviceStateBytes = 64 * 1024 * 1024;
const mostBlocks = 1024;
/** Beyond any machine, and well within what a number counts exactly. */
const mostMemoryBytes = 16 * 2 ** 40;

/** No u32, so no section has it. */
const noSection = -1;

type Position = 'header' | 'configuration' | 'sections' | 'ram' | 'footer' | 'tail';

/**
 * Reads the stream a QEMU source writes (`migrate`), chunk by chunk as it comes, without collecting memory pages.
 * What it does not know it refuses (STREAM_MALFORMED) rather than skips: a byte misread here is a page lost.
 */
export class MigrationStreamReader {
  private position: Position = 'header';
  private configurationBytes: Buffer | null = null;
  private readonly tail: Buffer[] = [];
  private tailBytes = 0;

  private sectionId = 0;
  private ramSectionId = noSection;
  private sectionIsEnd = false;
  private readonly blockList: RamBlock[] = [];
  private readonly blockNumbers = new Map<string, number>();
  private unlistedBytes = 0;
  private currentBlock = -1;

  /** Start of a record whose end has not come yet. */
  private readonly straddle = Buffer.allocUnsafe(straddleBytes);
  private straddled = 0;

  /** Bytes read so far. */
  bytesRead = 0;

  constructor(private readonly handler: MigrationStreamHandler) {}

  /** Feeds the next chunk. @throws STREAM_MALFORMED */
  push(chunk: Buffer): void {
    this.bytesRead += chunk.length;
    let offset = 0;
    while (this.straddled > 0 && offset < chunk.length) {
      // Complete the open record in the small buffer; go on in the chunk itself from where that record ends.
      const copied = chunk.copy(this.straddle, this.straddled, offset);
      const available = this.straddled + copied;
      const consumed = this.readRecords(this.straddle, 0, available, this.straddled);
      if (consumed >= this.straddled) {
        offset += consumed - this.straddled;
        this.straddled = 0;
      } else {
        if (consumed === 0 && available === straddleBytes) throw tooLong();
        this.straddle.copyWithin(0, consumed, available);
        this.straddled = available - consumed;
        offset += copied;
      }
    }
    if (offset === chunk.length) return;
    const consumed = this.readRecords(chunk, offset, chunk.length);
    const rest = chunk.length - consumed;
    if (rest >= straddleBytes) throw tooLong();
    chunk.copy(this.straddle, 0, consumed);
    this.straddled = rest;
  }

  /**
   * The same for whoever owns the memory the stream is read into, without copying: reads the whole records that stand
   * there. The next call begins with what this one has left, wherever that has been moved to.
   * @returns where the first record that is not all there begins
   * @throws STREAM_MALFORMED
   */
  consume(buffer: Buffer, start: number, end: number): number {
    const consumed = this.readRecords(buffer, start, end);
    if (end - consumed >= straddleBytes) throw tooLong();
    this.bytesRead += consumed - start;
    return consumed;
  }

  /**
   * The stream has ended.
   * @returns the configuration section's content (machine name and subsections) and the device sections, both verbatim
   * @throws STREAM_MALFORMED when the end came too early
   */
  finish(): { configuration: Buffer; deviceState: Buffer } {
    if (this.position !== 'tail' || this.configurationBytes === null) {
      throw malformed(`it ended early, after ${this.bytesRead} bytes`);
    }
    const tail = Buffer.concat(this.tail);
    return { configuration: this.configurationBytes, deviceState: tail.subarray(0, deviceStateEnd(tail)) };
  }

  /**
   * Reads whole records from `start`; stops early once it has passed `until` (when given).
   * @returns where the first record not read begins
   */
  private readRecords(buffer: Buffer, start: number, end: number, until = Infinity): number {
    let at = start;
    while (at < end && at < until) {
      const next = this.readRecord(buffer, at, end);
      if (next < 0) break;
      at = next;
    }
    return at;
  }

  /** @returns where the record ends, or -1 when it is not all there yet */
  private readRecord(buffer: Buffer, at: number, end: number): number {
    switch (this.position) {
      case 'ram':
        return this.unlistedBytes > 0 ? this.readBlock(buffer, at, end) : this.readRamRecord(buffer, at, end);
      case 'sections':
        return this.readSectionHeader(buffer, at, end);
      case 'footer':
        return this.readFooter(buffer, at, end);
      case 'tail':
        return this.keepTail(buffer, at, end);
      case 'header':
        return this.readHeader(buffer, at, end);
      case 'configuration':
        return this.readConfiguration(buffer, at, end);
    }
  }

  private readHeader(buffer: Buffer, at: number, end: number): number {
    if (end - at < 8) return -1;
    if (buffer.readUInt32BE(at) !== streamMagic) throw malformed('it does not begin with QEMU’s magic number');
    const version = buffer.readUInt32BE(at + 4);
    if (version !== streamVersion) throw malformed(`version ${version}, expected ${streamVersion}`);
    this.position = 'configuration';
    return at + 8;
  }

  /**
   * Section 07: u32 length + machine name, then its subsections (05, u8 length + name, u32 version, data of a length
   * only QEMU knows). It ends where the first section begins: 01 <u32 id> 03 'ram'.
   */
  private readConfiguration(buffer: Buffer, at: number, end: number): number {
    if (end - at < 5) return -1;
    if (buffer[at] !== sectionType.configuration) throw malformed('the configuration section is missing');
    const nameEnd = at + 5 + buffer.readUInt32BE(at + 1);
    if (nameEnd - at > longestConfigurationBytes) throw malformed('the machine name is too long');
    // No further than this, however much of the stream has come: where it is cut must not change what is accepted.
    const searchEnd = at + longestConfigurationBytes;
    const found = buffer.subarray(0, Math.min(end, searchEnd)).indexOf(ramSectionName, nameEnd);
    if (found < 0) {
      if (end >= searchEnd) throw malformed('no ram section follows the configuration');
      return -1;
    }
    const sectionStart = found - 5;
    if (sectionStart < nameEnd || buffer[sectionStart] !== sectionType.start) {
      throw malformed('the ram section does not follow the configuration');
    }
    this.configurationBytes = Buffer.from(buffer.subarray(at + 1, sectionStart));
    this.position = 'sections';
    return sectionStart;
  }

  private readSectionHeader(buffer: Buffer, at: number, end: number): number {
    const type = buffer[at]!;
    switch (type) {
      case sectionType.command: {
        if (end - at < 5) return -1;
        const command = buffer.readUInt16BE(at + 1);
        const length = buffer.readUInt16BE(at + 3);
        // A source that was not asked for postcopy sends nothing else (QEMU 10 announces its switchover).
        if (command !== commandType.switchoverStart || length !== 0) {
          throw malformed(`command ${command} of ${length} bytes among the sections`);
        }
        return at + 5;
      }
      case sectionType.start: {
        if (end - at < 6) return -1;
        const nameLength = buffer[at + 5]!;
        const next = at + 6 + nameLength + 8;
        if (next > end) return -1;
        const name = buffer.toString('latin1', at + 6, at + 6 + nameLength);
        const instance = buffer.readUInt32BE(next - 8);
        const version = buffer.readUInt32BE(next - 4);
        if (name !== ramSection.name) throw malformed(`section '${name}' carries live data of a kind we cannot keep`);
        if (version !== ramSection.version || instance !== ramSection.instance) {
          throw malformed(`ram section of version ${version}, instance ${instance}`);
        }
        if (this.ramSectionId !== noSection) throw malformed('a second ram section');
        this.ramSectionId = buffer.readUInt32BE(at + 1);
        this.enterRam(this.ramSectionId, false);
        return next;
      }
      case sectionType.part:
      case sectionType.end: {
        if (end - at < 5) return -1;
        const id = buffer.readUInt32BE(at + 1);
        if (id !== this.ramSectionId) throw malformed(`a part of section ${id}, which never started`);
        this.enterRam(id, type === sectionType.end);
        return at + 5;
      }
      default:
        throw malformed(`section type ${type} before the memory has ended`);
    }
  }

  private enterRam(sectionId: number, isEnd: boolean): void {
    this.sectionId = sectionId;
    this.sectionIsEnd = isEnd;
    this.position = 'ram';
  }

  private readRamRecord(buffer: Buffer, at: number, end: number): number {
    if (end - at < 8) return -1;
    const low = buffer.readUInt32BE(at + 4);
    const flags = low & ramFlagMask;
    const value = buffer.readUInt32BE(at) * 0x1_0000_0000 + (low - flags);
    if (flags === ramFlag.endOfSection) {
      this.position = 'footer';
      return at + 8;
    }
    if (flags === ramFlag.memorySize) {
      if (this.blockList.length > 0) throw malformed('a second list of memory blocks');
      if (value === 0 || value > mostMemoryBytes) throw malformed(`a machine with ${value} bytes of memory`);
      this.unlistedBytes = value;
      return at + 8;
    }
    const kind = flags & ~ramFlag.sameBlock;
    if (kind !== ramFlag.page && kind !== ramFlag.zero)
      throw malformed(`memory record with flags 0x${flags.toString(16)}`);
    let dataAt = at + 8;
    let block = this.currentBlock;
    if ((flags & ramFlag.sameBlock) === 0) {
      if (end - dataAt < 1) return -1;
      const nameEnd = dataAt + 1 + buffer[dataAt]!;
      if (nameEnd > end) return -1;
      const name = buffer.toString('latin1', dataAt + 1, nameEnd);
      const number = this.blockNumbers.get(name);
      if (number === undefined) throw malformed(`a page of memory block '${name}', which was not announced`);
      block = number;
      dataAt = nameEnd;
    }
    const next = dataAt + (kind === ramFlag.page ? pageBytes : 1);
    if (next > end) return -1;
    const info = this.blockList[block];
    if (info === undefined) throw malformed('a page of no memory block');
    if (value >= info.bytes) throw malformed(`a page beyond the end of memory block '${info.name}'`);
    this.currentBlock = block;
    if (kind === ramFlag.page) {
      this.handler.page(block, value / pageBytes, buffer, dataAt);
    } else {
      if (buffer[dataAt] !== 0) throw malformed('a page filled with one byte that is not zero');
      this.handler.zeroPage(block, value / pageBytes);
    }
    return next;
  }

  private readBlock(buffer: Buffer, at: number, end: number): number {
    const next = at + 1 + buffer[at]! + 8;
    if (next > end) return -1;
    const name = buffer.toString('latin1', at + 1, next - 8);
    const bytes = buffer.readUInt32BE(next - 8) * 0x1_0000_0000 + buffer.readUInt32BE(next - 4);
    if (bytes === 0 || bytes % pageBytes !== 0 || bytes > this.unlistedBytes || this.blockNumbers.has(name)) {
      throw malformed(`memory block '${name}' of ${bytes} bytes does not fit the announced memory`);
    }
    if (this.blockList.length === mostBlocks) throw malformed(`more than ${mostBlocks} memory blocks`);
    this.blockNumbers.set(name, this.blockList.length);
    this.blockList.push({ name, bytes });
    this.unlistedBytes -= bytes;
    if (this.unlistedBytes === 0) this.handler.blocks(this.blockList);
    return next;
  }

  private readFooter(buffer: Buffer, at: number, end: number): number {
    if (end - at < 5) return -1;
    if (buffer[at] !== sectionType.footer || buffer.readUInt32BE(at + 1) !== this.sectionId) {
      throw malformed(`section ${this.sectionId} is not closed by its footer`);
    }
    if (this.sectionIsEnd && this.blockList.length === 0) throw malformed('its memory was never announced');
    this.position = this.sectionIsEnd ? 'tail' : 'sections';
    return at + 5;
  }

  private keepTail(buffer: Buffer, at: number, end: number): number {
    this.tailBytes += end - at;
    if (this.tailBytes > longestDeviceStateBytes)
      throw malformed(`more than ${longestDeviceStateBytes} bytes of device state`);
    this.tail.push(Buffer.from(buffer.subarray(at, end)));
    return end;
  }
}

const ramSectionName = Buffer.from([ramSection.name.length, ...Buffer.from(ramSection.name)]);

function tooLong(): DormouseError {
  return malformed(`a record longer than ${straddleBytes} bytes`);
}

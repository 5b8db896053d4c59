/**
 * Encoders for what a source sends. Each returns the bytes of one part of the stream; the caller keeps their order:
 * preamble, (postcopy: open return path, advise), ram start, ram parts, (postcopy: discards, package), ram end, eof.
 */
import {
  commandType,
  discardRangesPerCommand,
  pageBytes,
  ramFlag,
  ramSection,
  sectionType,
  streamMagic,
  streamVersion,
  type RamBlock,
} from './layout';

/** The id under which the ram section is sent; any number the device sections do not use. */
const ramSectionId = 0x444d; // 'DM'

/** Magic, version and the configuration section's content as captured. */
export function preamble(configuration: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUInt32BE(streamMagic, 0);
  head.writeUInt32BE(streamVersion, 4);
  head[8] = sectionType.configuration;
  return Buffer.concat([head, configuration]);
}

export function command(type: keyof typeof commandType, data: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(5);
  head[0] = sectionType.command;
  head.writeUInt16BE(commandType[type], 1);
  head.writeUInt16BE(data.length, 3);
  return Buffer.concat([head, data]);
}

/** The destination answers with a PONG of the same value once everything before it has been loaded. */
export function ping(value: number): Buffer {
  return command('ping', u32(value));
}

/** Announces postcopy with ordinary pages on both sides: u64 summary of page sizes, u64 target page size. */
export function postcopyAdvise(): Buffer {
  return command('postcopyAdvise', Buffer.concat([u64(pageBytes), u64(pageBytes)]));
}

/** Asks a destination that lost its source which pages of a block it has. */
export function askReceived(block: RamBlock): Buffer {
  return command('receivedBitmap', name(block.name));
}

/** Opens the ram section with the list of memory blocks. */
export function ramStart(blocks: readonly RamBlock[]): Buffer {
  const head = Buffer.alloc(5);
  head[0] = sectionType.start;
  head.writeUInt32BE(ramSectionId, 1);
  return Buffer.concat([
    head,
    name(ramSection.name),
    u32(ramSection.instance),
    u32(ramSection.version),
    u64(total(blocks) + ramFlag.memorySize),
    ...blocks.flatMap((block) => [name(block.name), u64(block.bytes)]),
    endOfRam(),
  ]);
}

/** The ram section's end: nothing more is sent for memory. */
export function ramEnd(): Buffer {
  return Buffer.concat([ramHeader(sectionType.end), endOfRam()]);
}

export function endOfStream(): Buffer {
  return Buffer.from([sectionType.eof]);
}

export interface ByteRange {
  readonly start: number;
  readonly length: number;
}

/**
 * Tells a postcopy destination which ranges of a block it does not have, in as many commands as QEMU would use.
 * A page neither sent nor discarded is one the destination never asks for: the guest would wait for it forever.
 */
export function ramDiscard(block: RamBlock, ranges: readonly ByteRange[]): Buffer[] {
  const commands: Buffer[] = [];
  for (let first = 0; first < ranges.length; first += discardRangesPerCommand) {
    const some = ranges.slice(first, first + discardRangesPerCommand);
    commands.push(
      command(
        'postcopyRamDiscard',
        Buffer.concat([
          Buffer.alloc(1), // version of the command's layout
          name(block.name),
          Buffer.alloc(1), // closes the name
          ...some.flatMap((range) => [u64(range.start), u64(range.length)]),
        ]),
      ),
    );
  }
  return commands;
}

/**
 * The moment of waking: listen for page requests, load the devices, run. The destination reads the package whole before
 * it acts on it, so the devices find their memory served while they load. The PONG for `pingValue` says they have.
 */
export function wakePackage(deviceState: Buffer, pingValue: number): Buffer {
  const content = Buffer.concat([command('postcopyListen'), deviceState, ping(pingValue), command('postcopyRun')]);
  return Buffer.concat([command('packaged', u32(content.length)), content]);
}

/** Closes a start, part or end of the ram section: end-of-section record and footer. */
export function endOfRam(): Buffer {
  const footer = Buffer.alloc(5);
  footer[0] = sectionType.footer;
  footer.writeUInt32BE(ramSectionId, 1);
  return Buffer.concat([u64(ramFlag.endOfSection), footer]);
}

export function ramHeader(type: number): Buffer {
  const head = Buffer.alloc(5);
  head[0] = type;
  head.writeUInt32BE(ramSectionId, 1);
  return head;
}

function total(blocks: readonly RamBlock[]): number {
  return blocks.reduce((sum, block) => sum + block.bytes, 0);
}

function name(text: string): Buffer {
  return Buffer.concat([Buffer.from([text.length]), Buffer.from(text, 'latin1')]);
}

function u32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32BE(value);
  return buffer;
}

function u64(value: number): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeUInt32BE(Math.floor(value / 0x1_0000_0000), 0);
  buffer.writeUInt32BE(value % 0x1_0000_0000, 4);
  return buffer;
}

import { isDormouseError } from '@dormouse/errors';
import { pageBytes, ramFlag, sectionType, type RamBlock } from './layout';
import { MigrationStreamReader, type MigrationStreamHandler } from './stream-reader';

/** Hand-made parts of a source's stream, written from QEMU's layouts and not from our encoder. For tests only. */

export const mainMemory: RamBlock = { name: 'pc.ram', bytes: 24 * pageBytes };
export const videoMemory: RamBlock = { name: '/rom@etc/acpi/tables', bytes: 2 * pageBytes };
export const firmware: RamBlock = { name: 'pc.bios', bytes: 3 * pageBytes };
export const blocks = [mainMemory, videoMemory, firmware] as const;

/** QEMU numbers its sections; 2 is what a q35 machine gives its memory. */
export const ramSectionId = 2;

export const u8 = (value: number): Buffer => Buffer.from([value]);
export const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff]);
export const u32 = (value: number): Buffer => Buffer.from(value.toString(16).padStart(8, '0'), 'hex');
export const u64 = (value: number | bigint): Buffer => Buffer.from(value.toString(16).padStart(16, '0'), 'hex');
export const text = (value: string): Buffer => Buffer.concat([u8(value.length), Buffer.from(value, 'latin1')]);

const machine = Buffer.from('pc-q35-7.2');
/** Machine name and one subsection, as `configuration` is handed on. */
export const configuration = Buffer.concat([
  u32(machine.length),
  machine,
  u8(sectionType.subsection),
  text('configuration/target-page-bits'),
  u32(1),
  u32(12),
]);

export const header = Buffer.concat([Buffer.from('QEVM'), u32(3), u8(sectionType.configuration), configuration]);
export const endOfSection = u64(ramFlag.endOfSection);
export const footer = (id = ramSectionId): Buffer => Buffer.concat([u8(sectionType.footer), u32(id)]);

export function section(type: 'part' | 'end', ...records: Buffer[]): Buffer {
  return Buffer.concat([u8(sectionType[type]), u32(ramSectionId), ...records, endOfSection, footer()]);
}

export function ramStart(listed: readonly RamBlock[] = blocks): Buffer {
  const total = listed.reduce((sum, block) => sum + block.bytes, 0);
  return ramStartWith(
    u64(total + ramFlag.memorySize),
    ...listed.flatMap((block) => [text(block.name), u64(block.bytes)]),
  );
}

/** The start of the memory section with a list of blocks of the caller's making. */
export function ramStartWith(...records: Buffer[]): Buffer {
  const head = [u8(sectionType.start), u32(ramSectionId), text('ram'), u32(0), u32(4)];
  return Buffer.concat([...head, ...records, endOfSection, footer()]);
}

export function page(block: RamBlock, index: number, fill: number): Buffer {
  return Buffer.concat([u64(index * pageBytes + ramFlag.page), text(block.name), Buffer.alloc(pageBytes, fill)]);
}

/** A page of the block the record before was of. */
export function nextPage(index: number, fill: number): Buffer {
  return Buffer.concat([u64(index * pageBytes + ramFlag.page + ramFlag.sameBlock), Buffer.alloc(pageBytes, fill)]);
}

export function zeroPage(block: RamBlock, index: number): Buffer {
  return Buffer.concat([u64(index * pageBytes + ramFlag.zero), text(block.name), u8(0)]);
}

export function nextZeroPage(index: number): Buffer {
  return Buffer.concat([u64(index * pageBytes + ramFlag.zero + ramFlag.sameBlock), u8(0)]);
}

/** QEMU 10 sends it between its last round of pages and the devices. */
export const switchoverStart = Buffer.concat([u8(sectionType.command), u16(11), u16(0)]);

export function deviceSection(id: number, name: string, data: Buffer): Buffer {
  return Buffer.concat([u8(sectionType.full), u32(id), text(name), u32(0), u32(1), data, footer(id)]);
}

export const deviceState = Buffer.concat([
  deviceSection(0, 'timer', Buffer.alloc(24, 0x11)),
  // The end of a stream, a description and a footer, all of them only data of a device.
  deviceSection(
    3,
    'serial',
    Buffer.concat([u8(0), u8(sectionType.description), u32(7), Buffer.from('{"a":1}'), u8(0), footer(9), u8(0)]),
  ),
  deviceSection(4, 'cpu_common', Buffer.alloc(40, 0)),
]);

export const endOfStream = u8(sectionType.eof);

const descriptionText = Buffer.from(JSON.stringify({ page_size: pageBytes, devices: [{ name: 'timer' }] }));
export const description = Buffer.concat([u8(sectionType.description), u32(descriptionText.length), descriptionText]);

/** Two rounds over a small machine's memory, some pages twice, then its devices. */
export const wholeStream = Buffer.concat([
  header,
  ramStart(),
  section('part', zeroPage(videoMemory, 0), page(mainMemory, 0, 0xa0), nextPage(1, 0xa1), nextZeroPage(2)),
  // A new part goes on in the block of the part before.
  section('part', nextPage(1, 0xb1), page(firmware, 2, 0xc2), nextPage(0, 0xc0), nextZeroPage(1)),
  section('part'),
  section('part', page(mainMemory, 2, 0xa2), nextZeroPage(0), nextPage(23, 0xaf)),
  switchoverStart,
  section('end', page(mainMemory, 1, 0xd1), nextPage(0, 0xd0)),
  deviceState,
  endOfStream,
  description,
]);

/** What a reader of `wholeStream` holds in the end: the last copy of each page that came. */
export const wholeMemory = new Map([
  ['pc.ram 0', 'd0'],
  ['pc.ram 1', 'd1'],
  ['pc.ram 2', 'a2'],
  ['pc.ram 23', 'af'],
  ['/rom@etc/acpi/tables 0', '00'],
  ['pc.bios 0', 'c0'],
  ['pc.bios 1', '00'],
  ['pc.bios 2', 'c2'],
]);

/** Keeps what it is told, each page as the byte it is filled with. */
export class Recorder implements MigrationStreamHandler {
  listed: RamBlock[] = [];
  readonly memory = new Map<string, string>();
  readonly told: string[] = [];

  blocks(listed: readonly RamBlock[]): void {
    this.listed = [...listed];
    this.told.push(listed.map(({ name, bytes }) => `${name}:${bytes}`).join(' '));
  }

  zeroPage(block: number, pageIndex: number): void {
    this.keep(block, pageIndex, '00');
  }

  page(block: number, pageIndex: number, source: Buffer, offset: number): void {
    const content = source.subarray(offset, offset + pageBytes);
    const first = content[0]!;
    const uniform = content.length === pageBytes && content.equals(Buffer.alloc(pageBytes, first));
    this.keep(block, pageIndex, uniform ? first.toString(16).padStart(2, '0') : content.toString('hex'));
  }

  private keep(block: number, pageIndex: number, content: string): void {
    const name = `${this.listed[block]?.name} ${pageIndex}`;
    this.memory.set(name, content);
    this.told.push(`${name} ${content}`);
  }
}

/** Cuts `bytes` into chunks of the given sizes, over and over. Each chunk lies in memory of its own, soon overwritten. */
export function* chunksOf(bytes: Buffer, sizes: readonly number[]): Generator<Buffer> {
  for (let at = 0, n = 0; at < bytes.length; n++) {
    const size = sizes[n % sizes.length]!;
    const chunk = Buffer.from(bytes.subarray(at, at + size));
    yield chunk;
    chunk.fill(0xee); // as a socket would, which uses its memory again
    at += size;
  }
}

export interface Outcome {
  readonly told: readonly string[];
  /** What `finish` gave, or the error that came first. */
  readonly end: unknown;
}

/** Feeds a stream; only STREAM_MALFORMED may come out of it beside its content. */
export function read(stream: Buffer, sizes: readonly number[] = [stream.length]): Outcome {
  return outcomeOf((reader) => {
    for (const chunk of chunksOf(stream, sizes)) reader.push(chunk);
  });
}

/** The same into memory that the reader reads where it stands: when it is full, what was left goes on in another. */
export function readInPlace(stream: Buffer, sizes: readonly number[], memoryBytes: number): Outcome {
  return outcomeOf((reader) => {
    let memory = Buffer.alloc(memoryBytes);
    let [begin, end] = [0, 0];
    for (const chunk of chunksOf(stream, sizes)) {
      for (let taken = 0; taken < chunk.length;) {
        if (end === memory.length) {
          const next = Buffer.alloc(memoryBytes);
          end = memory.copy(next, 0, begin, end);
          begin = 0;
          memory.fill(0xee); // it is used again
          memory = next;
        }
        const copied = chunk.copy(memory, end, taken);
        taken += copied;
        end += copied;
        begin = reader.consume(memory, begin, end);
      }
    }
  });
}

function outcomeOf(feed: (reader: MigrationStreamReader) => void): Outcome {
  const recorder = new Recorder();
  const reader = new MigrationStreamReader(recorder);
  try {
    feed(reader);
    const { configuration, deviceState } = reader.finish();
    return { told: recorder.told, end: [configuration.toString('hex'), deviceState.toString('hex')] };
  } catch (error) {
    if (!isDormouseError(error, 'STREAM_MALFORMED')) throw error;
    // How much had been read when it ended early: half a record counts for one way to feed it and not for the other.
    return { told: recorder.told, end: error.message.replace(/after \d+ bytes/, 'after some bytes') };
  }
}

import { pageBytes, ramFlag, sectionType } from './layout';
import * as sample from './stream-fixture';

const { header, page, ramStart, read, section, text, u16, u32, u64, u8, wholeStream } = sample;

const refusal = (stream: Buffer): string => {
  const { end } = read(stream);
  if (typeof end !== 'string') throw new Error('the stream was accepted');
  return end;
};

describe('a malformed stream is refused', () => {
  test('when it ends before its end, at any byte', () => {
    // Up to the byte that ends the stream: what follows only describes it.
    const complete = wholeStream.length - sample.description.length;
    const accepted: number[] = [];
    for (let length = 0; length < wholeStream.length; length++) {
      if (length > 500 && length < complete - 600 && length % 37 !== 0) continue;
      if (typeof read(wholeStream.subarray(0, length)).end !== 'string') accepted.push(length);
    }
    expect(accepted).toEqual([complete]);
  });

  test('when anything follows its description', () => {
    expect(refusal(Buffer.concat([wholeStream, u8(0x7d)]))).toMatch('no end');
  });

  test.each<[string, Buffer, string]>([
    ['another magic number', Buffer.concat([Buffer.from('QEVN'), wholeStream.subarray(4)]), 'magic number'],
    ['another version', Buffer.concat([Buffer.from('QEVM'), u32(2), wholeStream.subarray(8)]), 'version 2'],
    ['no configuration', Buffer.concat([header.subarray(0, 8), ramStart()]), 'configuration section is missing'],
    [
      'a machine name of 4 GiB',
      Buffer.concat([header.subarray(0, 9), u32(0xffffffff), Buffer.alloc(100)]),
      'name is too long',
    ],
    ['a configuration without an end', Buffer.concat([header, Buffer.alloc(20_000, 5)]), 'no ram section'],
    [
      'a configuration longer than any, though it ends',
      Buffer.concat([header, Buffer.alloc(9_000, 5), ramStart(), section('end'), u8(0)]),
      'no ram section',
    ],
    [
      'something else between configuration and memory',
      Buffer.concat([header, u8(sectionType.part), u32(2), text('ram')]),
      'does not follow',
    ],
    [
      'a live section of another kind',
      Buffer.concat([header, ramStart(), u8(1), u32(3), text('block'), u32(0), u32(1)]),
      "section 'block'",
    ],
    ['a second memory section', Buffer.concat([header, ramStart(), ramStart()]), 'second'],
    [
      'a memory section of another version',
      Buffer.concat([header, u8(1), u32(2), text('ram'), u32(0), u32(5)]),
      'version 5',
    ],
    ['a part of another section', Buffer.concat([header, ramStart(), u8(2), u32(3)]), 'section 3, which never started'],
    ['a part of no section', Buffer.concat([header, ramStart(), u8(9)]), 'section type 9'],
    ['devices before the end of the memory', Buffer.concat([header, ramStart(), sample.deviceState]), 'section type 4'],
    ['the end before the end of the memory', Buffer.concat([header, ramStart(), u8(0)]), 'section type 0'],
    ['a command a plain source never sends', Buffer.concat([header, ramStart(), u8(8), u16(4), u16(0)]), 'command 4'],
    [
      'a switchover command with content',
      Buffer.concat([header, ramStart(), u8(8), u16(11), u16(60_000), Buffer.alloc(60_000)]),
      'command 11',
    ],
    [
      'the footer of another section',
      Buffer.concat([header, ramStart(), u8(2), u32(2), sample.endOfSection, sample.footer(4)]),
      'not closed by its footer',
    ],
    [
      'no footer',
      Buffer.concat([header, ramStart(), u8(2), u32(2), sample.endOfSection, section('part')]),
      'not closed by its footer',
    ],
  ])('%s', (_, stream, reason) => {
    expect(refusal(stream)).toMatch(reason);
  });

  const inPart = (...records: Buffer[]): Buffer => Buffer.concat([header, ramStart(), section('part', ...records)]);

  test.each<[string, Buffer, string]>([
    ['flags of a compressed page', inPart(u64(0x100 | ramFlag.page), text('pc.ram'), Buffer.alloc(99)), '0x108'],
    ['flags of an XBZRLE page', inPart(u64(0x40), text('pc.ram'), Buffer.alloc(99)), '0x40'],
    ['no flags', inPart(u64(0), text('pc.ram'), Buffer.alloc(99)), '0x0'],
    ['page and zero at once', inPart(u64(ramFlag.page | ramFlag.zero), text('pc.ram'), Buffer.alloc(99)), '0xa'],
    ['a page of a block never announced', inPart(page({ name: 'pc.rom', bytes: 0 }, 0, 1)), "'pc.rom'"],
    ['the first page without a block', inPart(sample.nextPage(0, 1)), 'no memory block'],
    ['a page right behind its block', inPart(page(sample.mainMemory, 24, 1)), "end of memory block 'pc.ram'"],
    ['a zero page behind its block', inPart(sample.zeroPage(sample.firmware, 3)), "end of memory block 'pc.bios'"],
    [
      'a page at the end of all addresses',
      inPart(u64(0xffff_ffff_ffff_f000n | 8n), text('pc.ram'), Buffer.alloc(pageBytes)),
      "end of memory block 'pc.ram'",
    ],
    ['a page filled with ones', inPart(u64(ramFlag.zero), text('pc.ram'), u8(1)), 'not zero'],
    ['a second list of blocks', inPart(u64(pageBytes + ramFlag.memorySize)), 'second list'],
  ])('a record with %s', (_, stream, reason) => {
    expect(refusal(stream)).toMatch(reason);
  });

  const size = (pages: number): Buffer => u64(pages * pageBytes + ramFlag.memorySize);
  const block = (name: string, bytes: number | bigint): Buffer => Buffer.concat([text(name), u64(bytes)]);
  const listing = (...records: Buffer[]): Buffer => Buffer.concat([header, sample.ramStartWith(...records)]);

  test.each<[string, Buffer]>([
    ['no memory at all', listing(size(0))],
    ['a block larger than what is left', listing(size(2), block('a', pageBytes), block('b', 2 * pageBytes))],
    ['an empty block', listing(size(2), block('a', 0))],
    ['half a page', listing(size(2), block('a', pageBytes + 2048))],
    ['two blocks of one name', listing(size(2), block('a', pageBytes), block('a', pageBytes))],
    ['fewer bytes than announced', listing(size(2), block('a', pageBytes))],
    [
      'more blocks than any machine has',
      listing(size(2000), ...Array.from({ length: 1025 }, (_, n) => block(`block ${n}`, pageBytes))),
    ],
    ['more memory than can be counted', listing(u64(0xffff_ffff_ffff_f000n | 4n), block('a', 0xffff_ffff_ffff_f000n))],
  ])('a list of blocks with %s', (_, stream) => {
    expect(refusal(stream)).toMatch(/memory/);
  });

  test('a stream that never says what memory it carries', () => {
    const silent = Buffer.concat([header, sample.ramStartWith(), section('end'), sample.deviceState, u8(0)]);
    expect(refusal(silent)).toMatch('memory');
  });
});

import fc from 'fast-check';
import { pageBytes, ramFlag, type RamBlock } from './layout';
import { RamPart } from './ram-part';
import * as encode from './stream-encoder';
import * as sample from './stream-fixture';

const { text, u16, u32, u64, u8 } = sample;
/** The id our encoder gives the memory section. */
const id = u32(0x444d);
const closing = Buffer.concat([u64(ramFlag.endOfSection), u8(0x7e), id]);
const ram = { name: 'pc.ram', bytes: 8 * pageBytes };
const bios = { name: 'pc.bios', bytes: 2 * pageBytes };

const command = (type: number, ...data: Buffer[]): Buffer => {
  const content = Buffer.concat(data);
  return Buffer.concat([u8(8), u16(type), u16(content.length), content]);
};

describe('the parts of a source’s stream are, byte by byte,', () => {
  test.each<[string, Buffer, Buffer]>([
    [
      'magic number, version 3 and the configuration as captured',
      encode.preamble(sample.configuration),
      Buffer.concat([Buffer.from('5145564d0000000307', 'hex'), sample.configuration]),
    ],
    ['COMMAND 1 opens the return path', encode.command('openReturnPath'), Buffer.from('0800010000', 'hex')],
    ['COMMAND 2 asks for a pong', encode.ping(0x01020304), Buffer.from('080002000401020304', 'hex')],
    [
      'COMMAND 3 advises postcopy with ordinary pages on both sides',
      encode.postcopyAdvise(),
      Buffer.from('08000300100000000000001000' + '0000000000001000', 'hex'),
    ],
    [
      'SECTION_START with MEM_SIZE, the block list, EOS and a footer',
      encode.ramStart([ram, bios]),
      Buffer.concat([
        ...[u8(1), id, text('ram'), u32(0), u32(4), u64(10 * pageBytes + 4)],
        ...[text('pc.ram'), u64(8 * pageBytes), text('pc.bios'), u64(2 * pageBytes), closing],
      ]),
    ],
    [
      'COMMAND 6 with a zero, a name closed by NUL, and pairs of start and length',
      Buffer.concat(encode.ramDiscard(ram, [{ start: 0x1_0000_0000, length: pageBytes }])),
      command(6, u8(0), text('pc.ram'), u8(0), u64(0x1_0000_0000), u64(pageBytes)),
    ],
    [
      'COMMAND 7 around LISTEN, the devices verbatim, PING and RUN',
      encode.wakePackage(sample.deviceState, 7),
      Buffer.concat([
        command(7, u32(5 + sample.deviceState.length + 9 + 5)),
        ...[command(4), sample.deviceState, command(2, u32(7)), command(5)],
      ]),
    ],
    ['SECTION_END with EOS and a footer', encode.ramEnd(), Buffer.concat([u8(3), id, closing])],
    ['the end of the stream', encode.endOfStream(), Buffer.from([0])],
  ])('%s', (_, encoded, expected) => {
    expect(encoded.toString('hex')).toBe(expected.toString('hex'));
  });

  test('SECTION_PART with pages and zero pages: the block is named where it is another one', () => {
    const part = new RamPart(Buffer.alloc(0));
    const memory = Buffer.concat([Buffer.alloc(100, 9), Buffer.alloc(pageBytes, 5), Buffer.alloc(100, 9)]);
    part.addPage(ram, 3, memory, 100);
    part.addZeroPage(ram, 5);
    part.addZeroPage(bios, 1);
    part.addPage(bios, 2, memory, 100);
    const expected = [
      ...[u8(2), id, u64(3 * pageBytes + 8), text('pc.ram'), Buffer.alloc(pageBytes, 5)],
      ...[u64(5 * pageBytes + 2 + 0x20), u8(0)],
      ...[u64(pageBytes + 2), text('pc.bios'), u8(0)],
      ...[u64(2 * pageBytes + 8 + 0x20), Buffer.alloc(pageBytes, 5), closing],
    ];
    expect(part.finish().toString('hex')).toBe(Buffer.concat(expected).toString('hex'));
  });
});

test('twelve ranges make one command to discard, a thirteenth begins another, none make none', () => {
  const ranges = (count: number) => Array.from({ length: count }, (_, n) => ({ start: n * 8192, length: 4096 }));
  expect(encode.ramDiscard(ram, [])).toEqual([]);
  expect(encode.ramDiscard(ram, ranges(12))).toHaveLength(1);
  fc.assert(
    fc.property(fc.nat(60), (count) => {
      const commands = encode.ramDiscard(ram, ranges(count));
      expect(commands).toHaveLength(Math.ceil(count / 12));
      const headBytes = 5 + 1 + text('pc.ram').length + 1;
      for (const encoded of commands) {
        expect((encoded.length - headBytes) / 16).toBeLessThanOrEqual(12);
        expect(encoded.readUInt16BE(3)).toBe(encoded.length - 5);
      }
      const pairs = Buffer.concat(commands.map((encoded) => encoded.subarray(headBytes)));
      expect(pairs.equals(Buffer.concat(ranges(count).flatMap(({ start, length }) => [u64(start), u64(length)])))).toBe(
        true,
      );
    }),
  );
});

test('a part is empty until a page was added, however small it was made', () => {
  const part = new RamPart(Buffer.alloc(1));
  expect(part.empty).toBe(true);
  part.addZeroPage(ram, 0);
  expect(part.empty).toBe(false);
});

test('what was written is what the reader reads', () => {
  const blockNames = fc.uniqueArray(fc.stringMatching(/^[ -~]{1,40}$/), { minLength: 1, maxLength: 5 });
  const machine = blockNames.chain((names) =>
    fc.tuple(
      ...names.map((name) => fc.record({ name: fc.constant(name), pages: fc.integer({ min: 1, max: 2 ** 29 }) })),
    ),
  );
  const pages = fc.array(
    fc.record({ block: fc.nat(), page: fc.nat(), fill: fc.nat(255), partEnds: fc.boolean(), capacity: fc.nat(20_000) }),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(machine, pages, fc.integer({ min: 1, max: 10_000 }), (shape, given, chunkBytes) => {
      const blocks: RamBlock[] = shape.map(({ name, pages: count }) => ({ name, bytes: count * pageBytes }));
      const expected: string[] = [blocks.map(({ name, bytes }) => `${name}:${bytes}`).join(' ')];
      const parts: Buffer[] = [];
      let part = new RamPart(Buffer.alloc(0));
      for (const { block: any, page, fill, partEnds, capacity } of given) {
        const block = blocks[any % blocks.length]!;
        const index = page % (block.bytes / pageBytes);
        if (fill === 0) part.addZeroPage(block, index);
        else part.addPage(block, index, Buffer.alloc(pageBytes, fill), 0);
        expected.push(`${block.name} ${index} ${fill.toString(16).padStart(2, '0')}`);
        if (!partEnds) continue;
        parts.push(part.finish());
        part = new RamPart(Buffer.alloc(capacity, 9));
      }
      const stream = Buffer.concat([
        encode.preamble(sample.configuration),
        encode.ramStart(blocks),
        ...[...parts, part.finish(), encode.ramEnd()],
        ...[sample.deviceState, encode.endOfStream()],
      ]);
      const { told, end } = sample.read(stream, [chunkBytes]);
      expect(told).toEqual(expected);
      expect(end).toEqual([sample.configuration.toString('hex'), sample.deviceState.toString('hex')]);
    }),
  );
});

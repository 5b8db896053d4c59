import fc from 'fast-check';
import { pageBytes } from './layout';
import * as sample from './stream-fixture';
import { MigrationStreamReader } from './stream-reader';

const { header, page, ramStart, read, section, u8, wholeStream } = sample;

const chunkSizes = fc.array(
  fc.oneof(fc.integer({ min: 1, max: 16 }), fc.integer({ min: 1, max: 9000 }), fc.constant(65_536)),
  {
    minLength: 1,
    maxLength: 20,
  },
);

const expected = [sample.configuration.toString('hex'), sample.deviceState.toString('hex')];

test('gives the memory blocks in order, the last copy of each page, and configuration and devices verbatim', () => {
  const recorder = new sample.Recorder();
  const reader = new MigrationStreamReader(recorder);
  reader.push(wholeStream);
  const { configuration, deviceState } = reader.finish();
  expect(recorder.listed).toEqual(sample.blocks);
  expect(recorder.memory).toEqual(sample.wholeMemory);
  expect(configuration.equals(sample.configuration)).toBe(true);
  expect(deviceState.equals(sample.deviceState)).toBe(true);
  expect(reader.bytesRead).toBe(wholeStream.length);
});

test.each([1, 2, 3, 7, 4095, 4096, 4097, 16_384])('reads the same in chunks of %i bytes', (size) => {
  expect(read(wholeStream, [size])).toEqual(read(wholeStream));
  expect(read(wholeStream, [size]).end).toEqual(expected);
});

test('reads the same however it is cut', () => {
  fc.assert(
    fc.property(chunkSizes, (sizes) => {
      expect(read(wholeStream, sizes)).toEqual(read(wholeStream));
    }),
    { numRuns: 100 },
  );
});

test('reads the same when it is cut in two at any byte', () => {
  const whole = read(wholeStream);
  for (let cut = 1; cut < wholeStream.length; cut++) {
    if (cut > 400 && cut < wholeStream.length - 600 && cut % 61 !== 0) continue;
    expect(read(wholeStream, [cut, wholeStream.length])).toEqual(whole);
  }
});

test('tells every copy of a page, in the order they came', () => {
  const { told } = read(wholeStream);
  expect(told.filter((entry) => entry.startsWith('pc.ram 1 '))).toEqual(['pc.ram 1 a1', 'pc.ram 1 b1', 'pc.ram 1 d1']);
});

test('announces its memory before the first page and once only', () => {
  const { told } = read(wholeStream);
  const lists = told.map((entry, n) => (entry.includes(':') ? n : -1)).filter((n) => n >= 0);
  expect(lists).toEqual([0]);
});

test('is read with blocks whose offsets do not fit into 32 bits', () => {
  const large = { name: 'pc.ram', bytes: 5 * 2 ** 30 };
  const index = large.bytes / pageBytes - 1;
  const { told } = read(
    Buffer.concat([header, ramStart([large]), section('end', page(large, index, 7)), sample.deviceState, u8(0)]),
  );
  expect(told).toContain(`pc.ram ${index} 07`);
});

test('is read when the switchover is announced right after the list of blocks, and when it is not announced', () => {
  const parts = [header, ramStart(), sample.switchoverStart, section('end'), sample.deviceState, u8(0)];
  expect(read(Buffer.concat(parts))).toEqual(read(Buffer.concat(parts.filter((_, n) => n !== 2))));
  expect(read(Buffer.concat(parts)).end).toEqual(expected);
});

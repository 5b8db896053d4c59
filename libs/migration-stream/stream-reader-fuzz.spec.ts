import fc from 'fast-check';
import * as sample from './stream-fixture';
import { MigrationStreamReader } from './stream-reader';

const { header, page, ramStart, read, section, u32, u8, wholeStream } = sample;

const chunkSizes = fc.array(
  fc.oneof(fc.integer({ min: 1, max: 16 }), fc.integer({ min: 1, max: 9000 }), fc.constant(65_536)),
  {
    minLength: 1,
    maxLength: 20,
  },
);

describe('a hostile stream', () => {
  const mutation = fc.record({
    at: fc.nat(wholeStream.length - 1),
    kind: fc.constantFrom('flip', 'remove', 'insert', 'copy'),
    value: fc.nat(255),
    length: fc.integer({ min: 1, max: 40 }),
  });
  type Mutation = typeof mutation extends fc.Arbitrary<infer T> ? T : never;

  /** Most of a stream is page content, where nothing can go wrong: aim at the records between. */
  const interesting = [...recordStarts()];
  const aimed = fc
    .tuple(mutation, fc.nat(interesting.length - 1), fc.nat(20))
    .map(([change, n, beyond]) => ({ ...change, at: Math.min(interesting[n]! + beyond, wholeStream.length - 1) }));

  function* recordStarts(): Generator<number> {
    for (let at = 0; at < wholeStream.length; at++) {
      const inPage = at > 3 && wholeStream.subarray(at - 4, at + 4).every((byte) => byte === wholeStream[at]);
      if (!inPage) yield at;
    }
  }

  function mutate(stream: Buffer, { at, kind, value, length }: Mutation): Buffer {
    const [before, after] = [stream.subarray(0, at), stream.subarray(at)];
    switch (kind) {
      case 'flip':
        return Buffer.concat([before, u8((after[0] ?? 0) ^ (value || 1)), after.subarray(1)]);
      case 'remove':
        return Buffer.concat([before, after.subarray(length)]);
      case 'insert':
        return Buffer.concat([before, Buffer.alloc(length, value), after]);
      default:
        return Buffer.concat([before, stream.subarray(value, value + length), after]);
    }
  }

  test('is read to its end or refused, the same way however it is cut, and nothing else happens', () => {
    fc.assert(
      fc.property(fc.array(aimed, { minLength: 1, maxLength: 3 }), chunkSizes, (mutations, sizes) => {
        const stream = mutations.reduce(mutate, wholeStream);
        expect(read(stream, sizes)).toEqual(read(stream));
      }),
      { numRuns: 400 },
    );
  });

  test('is read the same where it stands, however it is cut and wherever its memory ends', () => {
    const memoryBytes = fc.integer({ min: 33_000, max: 50_000 });
    const mutations = fc.array(aimed, { maxLength: 3 });
    fc.assert(
      fc.property(mutations, chunkSizes, memoryBytes, (changes, sizes, bytes) => {
        const stream = changes.reduce(mutate, wholeStream);
        expect(sample.readInPlace(stream, sizes, bytes)).toEqual(read(stream));
      }),
      { numRuns: 400 },
    );
  });

  test('of random bytes behind a good beginning is refused', () => {
    const beginnings = [Buffer.alloc(0), header, Buffer.concat([header, ramStart(), u8(2), u32(2)])];
    fc.assert(
      fc.property(fc.constantFrom(...beginnings), fc.uint8Array({ minLength: 1, maxLength: 5000 }), (start, noise) => {
        expect(typeof read(Buffer.concat([start, noise])).end).toBe('string');
      }),
    );
  });

  test('cannot make the reader collect device state without end', () => {
    const reader = new MigrationStreamReader(new sample.Recorder());
    reader.push(Buffer.concat([header, ramStart(), section('end')]));
    const chunk = Buffer.alloc(1024 * 1024);
    const endless = (): void => {
      for (let pushed = 0; pushed < 100; pushed++) reader.push(chunk);
    };
    expect(endless).toThrow(expect.objectContaining({ code: 'STREAM_MALFORMED' }));
    expect(reader.bytesRead).toBeLessThan(66 * chunk.length);
  });

  test('of many pages is not kept in memory', () => {
    const reader = new MigrationStreamReader({ blocks: () => {}, page: () => {}, zeroPage: () => {} });
    reader.push(Buffer.concat([header, ramStart()]));
    const round = section(
      'part',
      page(sample.mainMemory, 0, 1),
      ...Array.from({ length: 255 }, () => sample.nextPage(3, 2)),
    );
    const before = process.memoryUsage().arrayBuffers;
    for (let n = 0; n < 200; n++) {
      reader.push(round.subarray(0, 5000 + n));
      reader.push(round.subarray(5000 + n));
    }
    expect(reader.bytesRead).toBeGreaterThan(200 * 1024 * 1024);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 * 1024 * 1024);
  });
});

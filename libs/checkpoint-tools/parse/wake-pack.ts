import { corrupt } from '../damage';
import { noPage, pageBytes, segmentPages } from '../format';
import { decompress, decompressUpTo } from './zstd';

export interface WakePack {
  /** Content of the migration stream's configuration section. */
  readonly configuration: Buffer;
  /** Its device sections, verbatim. */
  readonly deviceState: Buffer;
  /** Pages of the wake set, each with its place in `content`. */
  readonly placeOf: ReadonlyMap<number, number>;
  /** 4096 bytes for each place; what stands in one that is not used means nothing. */
  readonly content: Buffer;
}

const headBytes = 16;
/** Far more than devices have; the format names no limit. */
const longestDeviceStateBytes = 2 ** 30;

/**
 * @param segments of the wake pack, and behind them those of the wake pages
 * @param memoryPages of the machine
 * @throws CHECKPOINT_CORRUPT naming `key`
 */
export function parseWakePack(segments: readonly Buffer[], memoryPages: number, key: string): WakePack {
  const [first, ...others] = segments;
  const head = first === undefined ? null : decompressUpTo(first, memoryPages * 8 + longestDeviceStateBytes);
  if (head === null) throw corrupt(key, 'its first segment does not decompress');
  if (head.length < headBytes) throw corrupt(key, 'it is too short');
  const deviceStateAt = headBytes + head.readUInt32LE(0);
  const numbersAt = deviceStateAt + head.readUInt32LE(4);
  const count = head.readUInt32LE(8);
  const ranksAt = numbersAt + count * 4;
  if (ranksAt + count * 4 !== head.length) throw corrupt(key, 'its lengths do not add up to its own');
  const numbers = (at: number): Uint32Array =>
    Uint32Array.from({ length: count }, (_, n) => head.readUInt32LE(at + n * 4));
  const placeOf = placesOf(numbers(numbersAt), memoryPages, key);
  checkOrder(numbers(ranksAt), key);
  const onTrial = head.readUInt32LE(12);
  if (onTrial > count) throw corrupt(key, `it has ${onTrial} pages on trial, of ${count}`);
  return {
    configuration: head.subarray(headBytes, deviceStateAt),
    deviceState: head.subarray(deviceStateAt, numbersAt),
    placeOf,
    content: Buffer.concat(contents(others, count, key)),
  };
}

function contents(segments: readonly Buffer[], count: number, key: string): Buffer[] {
  if (segments.length !== Math.ceil(count / segmentPages)) {
    throw corrupt(key, `it has ${segments.length} segments with pages, for ${count} pages`);
  }
  return segments.map((segment, n) => {
    const pages = Math.min(segmentPages, count - n * segmentPages);
    const content = decompress(segment, pages * pageBytes);
    if (content === null) throw corrupt(key, `its segment ${n + 1} does not decompress to ${pages} pages`);
    return content;
  });
}

function placesOf(pages: Uint32Array, memoryPages: number, key: string): Map<number, number> {
  const placeOf = new Map<number, number>();
  for (const [place, page] of pages.entries()) {
    if (page === noPage) continue;
    if (page >= memoryPages) throw corrupt(key, `page ${page} is none of the machine's`, { page });
    if (placeOf.has(page)) throw corrupt(key, `page ${page} is in the wake set twice`, { page });
    placeOf.set(page, place);
  }
  return placeOf;
}

function checkOrder(ranksMs: Uint32Array, key: string): void {
  for (let n = 1; n < ranksMs.length; n++) {
    if (ranksMs[n]! < ranksMs[n - 1]!)
      throw corrupt(key, `the rank of its page ${n} is lower than that of the one before`);
  }
}

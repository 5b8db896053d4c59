import { corrupt } from '../damage';
import { pageBytes } from '../format';
import { decompressUpTo } from './zstd';

export interface WakePack {
  /** Content of the migration stream's configuration section. */
  readonly configuration: Buffer;
  /** Its device sections, verbatim. */
  readonly deviceState: Buffer;
  readonly pages: Uint32Array;
  /** 4096 bytes for each of `pages`. */
  readonly content: Buffer;
}

const headBytes = 16;
/** Far more than devices have; the format names no limit. */
const longestDeviceStateBytes = 2 ** 30;

/** @param memoryPages of the machine @throws CHECKPOINT_CORRUPT naming `key` */
export function parseWakePack(plaintext: Buffer, memoryPages: number, key: string): WakePack {
  const whole = decompressUpTo(plaintext, memoryPages * (4 + pageBytes) + longestDeviceStateBytes);
  if (whole === null) throw corrupt(key, 'it does not decompress');
  if (whole.length < headBytes) throw corrupt(key, 'it is too short');
  const deviceStateAt = headBytes + whole.readUInt32LE(0);
  const numbersAt = deviceStateAt + whole.readUInt32LE(4);
  const count = whole.readUInt32LE(8);
  const contentAt = numbersAt + count * 4;
  if (contentAt + count * pageBytes !== whole.length) throw corrupt(key, 'its lengths do not add up to its own');
  const pages = Uint32Array.from({ length: count }, (_, n) => whole.readUInt32LE(numbersAt + n * 4));
  checkNumbers(pages, memoryPages, key);
  return {
    configuration: whole.subarray(headBytes, deviceStateAt),
    deviceState: whole.subarray(deviceStateAt, numbersAt),
    pages,
    content: whole.subarray(contentAt),
  };
}

function checkNumbers(pages: Uint32Array, memoryPages: number, key: string): void {
  const seen = new Set<number>();
  for (const page of pages) {
    if (page >= memoryPages) throw corrupt(key, `page ${page} is none of the machine's`, { page });
    if (seen.has(page)) throw corrupt(key, `page ${page} is in the wake set twice`, { page });
    seen.add(page);
  }
}

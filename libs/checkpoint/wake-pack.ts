import { Decoder, Encoder } from '@toondepauw/node-zstd';
import { corrupt } from './corruption';
import { pageBytes } from './layout';

/** What waking reads first and in one go. */
export interface WakePack {
  /** Content of the migration stream's configuration section: machine name and subsections. */
  readonly configuration: Buffer;
  /** The device sections of the migration stream. */
  readonly deviceState: Buffer;
  /** The pages the guest will want at once, in the order in which it is likely to touch them. */
  readonly wakeSet: WakeSet;
}

export interface WakeSet {
  readonly pages: Uint32Array;
  /** Their content, 4096 bytes each, in the same order. */
  readonly content: Buffer;
}

export const noWakeSet: WakeSet = { pages: new Uint32Array(0), content: Buffer.alloc(0) };

/** u32 configuration bytes · u32 device state bytes · u32 pages of the wake set · u32 zero */
const headBytes = 16;

const encoder = new Encoder(1);
const decoder = new Decoder();

/** The plaintext of the object. */
export function encodeWakePack({ configuration, deviceState, wakeSet }: WakePack): Promise<Buffer> {
  const head = Buffer.alloc(headBytes);
  head.writeUInt32LE(configuration.length, 0);
  head.writeUInt32LE(deviceState.length, 4);
  head.writeUInt32LE(wakeSet.pages.length, 8);
  const numbers = Buffer.alloc(wakeSet.pages.length * 4);
  wakeSet.pages.forEach((page, n) => numbers.writeUInt32LE(page, n * 4));
  return encoder.encode(Buffer.concat([head, configuration, deviceState, numbers, wakeSet.content]));
}

/** @param pages of the guest's memory @throws CHECKPOINT_CORRUPT naming `object` */
export async function decodeWakePack(plaintext: Buffer, pages: number, object: string): Promise<WakePack> {
  const content = await decoder.decode(plaintext).catch((cause: unknown) => {
    throw corrupt(object, 'it does not decompress', cause);
  });
  if (content.length < headBytes) throw corrupt(object, 'it is cut off');
  const configurationEnd = headBytes + content.readUInt32LE(0);
  const deviceStateEnd = configurationEnd + content.readUInt32LE(4);
  const count = content.readUInt32LE(8);
  const numbersEnd = deviceStateEnd + count * 4;
  if (numbersEnd + count * pageBytes !== content.length) throw corrupt(object, 'its parts have other lengths');
  return {
    configuration: content.subarray(headBytes, configurationEnd),
    deviceState: content.subarray(configurationEnd, deviceStateEnd),
    wakeSet: {
      pages: pageNumbers(content.subarray(deviceStateEnd, numbersEnd), pages, object),
      content: content.subarray(numbersEnd),
    },
  };
}

function pageNumbers(encoded: Buffer, pages: number, object: string): Uint32Array {
  const numbers = Uint32Array.from({ length: encoded.length / 4 }, (_, n) => encoded.readUInt32LE(n * 4));
  if (numbers.some((page) => page >= pages) || new Set(numbers).size !== numbers.length) {
    throw corrupt(object, 'its wake set names a page that is not there, or one twice');
  }
  return numbers;
}

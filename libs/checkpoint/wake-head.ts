import { corrupt } from './corruption';
import { noPage } from './layout';
import { decodeWords, encodeWords } from './word-list';

/** What a machine needs before it can run, memory apart. */
export interface MachineState {
  /** Content of the migration stream's configuration section: machine name and subsections. */
  readonly configuration: Buffer;
  /** The device sections of the migration stream. */
  readonly deviceState: Buffer;
}

/** The wake set: the pages the guest will want at once, in the order in which it is likely to touch them. */
export interface WakeOrder {
  /** Each once, and `noPage` where the wake pack has a place that is not used. */
  readonly pages: Uint32Array;
  /** For each of these, when it was wanted in earlier wakes, in milliseconds of the guest's running; never falling. */
  readonly ranksMs: Uint32Array;
  /** So many at the end are only kept ready, and not sent before the guest asks: to see whether it still does. */
  readonly onTrial: number;
}

/** The first segment of a wake pack. */
export interface WakeHead extends MachineState, WakeOrder {}

/** u32 configuration bytes · u32 device state bytes · u32 places of the wake set · u32 of them on trial */
const headBytes = 16;

export function encodeHead({ configuration, deviceState, pages, ranksMs, onTrial }: WakeHead): Buffer {
  const head = Buffer.alloc(headBytes);
  head.writeUInt32LE(configuration.length, 0);
  head.writeUInt32LE(deviceState.length, 4);
  head.writeUInt32LE(pages.length, 8);
  head.writeUInt32LE(onTrial, 12);
  return Buffer.concat([head, configuration, deviceState, encodeWords(pages), encodeWords(ranksMs)]);
}

/** @param pages of the guest's memory @throws CHECKPOINT_CORRUPT naming `object` */
export function decodeHead(plain: Buffer, pages: number, object: string): WakeHead {
  if (plain.length < headBytes) throw corrupt(object, 'it is cut off');
  const configurationEnd = headBytes + plain.readUInt32LE(0);
  const deviceStateEnd = configurationEnd + plain.readUInt32LE(4);
  const count = plain.readUInt32LE(8);
  const pagesEnd = deviceStateEnd + count * 4;
  if (pagesEnd + count * 4 !== plain.length) throw corrupt(object, 'its parts have other lengths');
  const head = {
    configuration: plain.subarray(headBytes, configurationEnd),
    deviceState: plain.subarray(configurationEnd, deviceStateEnd),
    pages: decodeWords(plain.subarray(deviceStateEnd, pagesEnd)),
    ranksMs: decodeWords(plain.subarray(pagesEnd)),
    onTrial: plain.readUInt32LE(12),
  };
  const used = head.pages.filter((page) => page !== noPage);
  if (used.some((page) => page >= pages) || new Set(used).size !== used.length) {
    throw corrupt(object, 'its wake set names a page that is not there, or one twice');
  }
  if (head.onTrial > count) throw corrupt(object, 'more of its wake set is on trial than there is');
  if (head.ranksMs.some((rank, n) => n > 0 && rank < head.ranksMs[n - 1]!)) {
    throw corrupt(object, 'its wake set is not in the order of its ranks');
  }
  return head;
}

import { Decoder, Encoder } from '@toondepauw/node-zstd';
import type { BlobStore } from '@dormouse/storage';
import { corrupt } from './corruption';
import type { CheckpointSecrets } from './encryption';
import { lengthBytes, longestSegmentBytes, objectHeaderBytes, pageBytes, segmentPages } from './layout';
import type { ObjectReference } from './manifest';
import { readRange } from './read-objects';
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
  readonly pages: Uint32Array;
  /** For each page, when it was wanted in earlier wakes, in milliseconds of the guest's running; never falling. */
  readonly ranksMs: Uint32Array;
  /** So many at the end are only kept ready, and not sent before the guest asks: to see whether it still does. */
  readonly onTrial: number;
}

/** u32 configuration bytes · u32 device state bytes · u32 pages of the wake set · u32 of them on trial */
const headBytes = 16;
/** Bytes that are read together, and how many such reads are under way at once: each costs processor time that QEMU could use. */
const pieceBytes = 4 * 1024 * 1024;
const piecesAhead = 3;
/** Of the first piece: it has the head, everything waits for that, and what is read beside it shares its way. */
const firstPieceBytes = 256 * 1024;
/** Segments that are being compressed at once. */
const segmentsAtOnce = 4;
/** Segments that are being decompressed while the one before them is looked at. */
const segmentsAhead = 4;

const encoder = new Encoder(1);
const decoder = new Decoder();

/**
 * The object as it is stored: `docs/checkpoint-format.md`, wake pack.
 * @param contentOf the 4096 bytes of a page of the wake set
 * @param object its key
 */
export async function encodeWakePack(
  { configuration, deviceState }: MachineState,
  { pages, ranksMs, onTrial }: WakeOrder,
  contentOf: (page: number) => Buffer,
  secrets: CheckpointSecrets,
  object: string,
): Promise<Buffer> {
  const head = Buffer.alloc(headBytes);
  head.writeUInt32LE(configuration.length, 0);
  head.writeUInt32LE(deviceState.length, 4);
  head.writeUInt32LE(pages.length, 8);
  head.writeUInt32LE(onTrial, 12);
  const first = Buffer.concat([head, configuration, deviceState, encodeWords(pages), encodeWords(ranksMs)]);
  const compressed = await Promise.all([encoder.encode(first), compressContents(pages, contentOf)]);
  return secrets.encryptSegments('wakePack', compressed.flat(), object);
}

/**
 * The guest stands still for this, and so does whatever else the loop has to do for it while pages are put side by side: a few
 * segments at a time, in memory that is used again, since to touch new memory would take longer than to fill it.
 */
async function compressContents(pages: Uint32Array, contentOf: (page: number) => Buffer): Promise<Buffer[]> {
  const compressed = new Array<Buffer>(Math.ceil(pages.length / segmentPages));
  let next = 0;
  const compressOnes = async (): Promise<void> => {
    const memory = Buffer.allocUnsafeSlow(segmentPages * pageBytes);
    while (next < compressed.length) {
      const segment = next++;
      let bytes = 0;
      for (const page of pages.subarray(segment * segmentPages, (segment + 1) * segmentPages)) {
        bytes += contentOf(page).copy(memory, bytes);
      }
      compressed[segment] = await encoder.encode(memory.subarray(0, bytes));
    }
  };
  await Promise.all(Array.from({ length: segmentsAtOnce }, compressOnes));
  return compressed;
}

/** The first segment of a wake pack. */
export interface WakeHead extends MachineState, WakeOrder {}

/** Reads a wake pack once, from its beginning to its end, while what was read is used already. */
export class WakePackReader {
  private readonly segments: AsyncGenerator<Buffer>;
  private readonly read: Promise<WakeHead>;

  /** @param pages of the guest's memory */
  constructor(
    private readonly source: {
      readonly store: BlobStore;
      readonly object: string;
      readonly reference: ObjectReference;
      readonly secrets: CheckpointSecrets;
    },
    private readonly pages: number,
  ) {
    this.segments = this.plainSegments();
    this.read = this.readHead();
    this.read.catch(() => undefined); // whoever asks for it hears of it
  }

  /** @throws CHECKPOINT_CORRUPT, CHECKPOINT_INCOMPLETE, FORMAT_UNSUPPORTED naming the object; STORAGE_FAILED */
  head(): Promise<WakeHead> {
    return this.read;
  }

  /**
   * The content of the wake set, `segmentPages` pages at a time, the last time what is left. Once only.
   * @throws as `head`
   */
  async *content(): AsyncGenerator<Buffer> {
    const { pages } = await this.read;
    const { object } = this.source;
    for (let first = 0; first < pages.length; first += segmentPages) {
      const { value, done } = (await this.segments.next()) as IteratorResult<Buffer, undefined>;
      if (done === true) throw corrupt(object, 'it ends before its wake set');
      if (value.length !== Math.min(segmentPages, pages.length - first) * pageBytes) {
        throw corrupt(object, 'a segment of its wake set has another length');
      }
      yield value;
    }
    if ((await this.segments.next()).done !== true) throw corrupt(object, 'it goes on behind its wake set');
  }

  private async readHead(): Promise<WakeHead> {
    const { value, done } = (await this.segments.next()) as IteratorResult<Buffer, undefined>;
    if (done === true) throw corrupt(this.source.object, 'it is empty');
    return decodeHead(value, this.pages, this.source.object);
  }

  private async *plainSegments(): AsyncGenerator<Buffer> {
    const { object } = this.source;
    const opening: Promise<Buffer>[] = [];
    for await (const compressed of this.compressedSegments()) {
      const plain = decoder.decode(compressed).catch((cause: unknown) => {
        throw corrupt(object, 'a segment does not decompress', cause);
      });
      plain.catch(() => undefined); // met when its turn has come
      opening.push(plain);
      if (opening.length > segmentsAhead) yield await opening.shift()!;
    }
    for (const plain of opening) yield await plain;
  }

  private async *compressedSegments(): AsyncGenerator<Buffer> {
    const { object, reference, secrets } = this.source;
    let known: Buffer = Buffer.alloc(0);
    let header: Buffer | null = null;
    let index = 0;
    for await (const piece of this.pieces()) {
      known = known.length === 0 ? piece : Buffer.concat([known, piece]);
      if (header === null) {
        if (known.length < objectHeaderBytes) throw corrupt(object, 'it is cut off');
        header = known.subarray(0, objectHeaderBytes);
        secrets.checkHeader('wakePack', header, reference.bytes - objectHeaderBytes, object);
        known = known.subarray(objectHeaderBytes);
      }
      while (known.length >= lengthBytes) {
        const bytes = known.readUInt32LE(0);
        if (bytes > longestSegmentBytes) throw corrupt(object, 'a segment is longer than segments are');
        const end = lengthBytes + bytes;
        if (known.length < end) break;
        yield secrets.decryptSegment('wakePack', header, index++, known.subarray(lengthBytes, end), object);
        known = known.subarray(end);
      }
    }
    if (header === null || known.length > 0) throw corrupt(object, 'it is cut off');
  }

  private async *pieces(): AsyncGenerator<Buffer> {
    const { store, object, reference } = this.source;
    const reads: Promise<Buffer>[] = [];
    let offset = 0;
    const readOn = (): void => {
      const length = Math.min(offset === 0 ? firstPieceBytes : pieceBytes, reference.bytes - offset);
      if (length <= 0) return;
      const read = readRange(store, object, reference.bytes, { offset, length });
      read.catch(() => undefined); // met when its turn has come
      reads.push(read);
      offset += length;
    };
    for (let n = 0; n < piecesAhead; n++) readOn();
    for (let read = reads.shift(); read !== undefined; read = reads.shift()) {
      const piece = await read;
      readOn();
      yield piece;
    }
  }
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
  if (head.pages.some((page) => page >= pages) || new Set(head.pages).size !== count) {
    throw corrupt(object, 'its wake set names a page that is not there, or one twice');
  }
  if (head.onTrial > count) throw corrupt(object, 'more of its wake set is on trial than there is');
  if (head.ranksMs.some((rank, n) => n > 0 && rank < head.ranksMs[n - 1]!)) {
    throw corrupt(object, 'its wake set is not in the order of its ranks');
  }
  return head;
}

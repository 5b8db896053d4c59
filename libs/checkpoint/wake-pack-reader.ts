import { Decoder } from '@toondepauw/node-zstd';
import type { BlobStore } from '@dormouse/storage';
import { corrupt } from './corruption';
import type { CheckpointSecrets } from './encryption';
import { lengthBytes, longestSegmentBytes, objectHeaderBytes, pageBytes, segmentPages } from './layout';
import type { ObjectReference } from './manifest';
import { readRange } from './read-objects';
import { decodeHead, type WakeHead } from './wake-head';

/** Bytes that are read together, and how many such reads are under way at once: each costs processor time that QEMU could use. */
const pieceBytes = 4 * 1024 * 1024;
const piecesAhead = 3;
/** Of the first piece, which is read by itself: it has the head, everything waits for that, and what is read beside it shares its way. */
const firstPieceBytes = 256 * 1024;
/** Segments that are being decompressed while the one before them is looked at. */
const segmentsAhead = 4;

const decoder = new Decoder();

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
   * The content of the wake set's places, `segmentPages` at a time, the last time what is left. Once only.
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
    let left: number | null = null; // segments; null until the header has come
    for await (const piece of this.pieces()) {
      known = known.length === 0 ? piece : Buffer.concat([known, piece]);
      if (left === null) {
        if (known.length < objectHeaderBytes) throw corrupt(object, 'it is cut off');
        left = secrets.checkHeader('wakePack', known.subarray(0, objectHeaderBytes), object);
        if (left > reference.bytes / lengthBytes) throw corrupt(object, 'it names more segments than it has room for');
        known = known.subarray(objectHeaderBytes);
      }
      while (known.length >= lengthBytes && left > 0) {
        const bytes = known.readUInt32LE(0);
        if (bytes > longestSegmentBytes) throw corrupt(object, 'a segment is longer than segments are');
        const end = lengthBytes + bytes;
        if (known.length < end) break;
        yield secrets.decryptSegment('wakePack', { behind: --left, object }, known.subarray(lengthBytes, end));
        known = known.subarray(end);
      }
    }
    if (left !== 0 || known.length > 0) throw corrupt(object, 'it has not as many segments as it names');
  }

  private async *pieces(): AsyncGenerator<Buffer> {
    const { store, object, reference } = this.source;
    const reads: Promise<Buffer>[] = [];
    let offset = 0;
    const readOn = (): void => {
      const length = Math.min(offset === 0 ? firstPieceBytes : pieceBytes, reference.bytes - offset);
      const read = readRange(store, object, reference.bytes, { offset, length });
      read.catch(() => undefined); // met when its turn has come
      reads.push(read);
      offset += length;
    };
    readOn();
    for (let read = reads.shift(); read !== undefined; read = reads.shift()) {
      const piece = await read;
      while (reads.length < piecesAhead && offset < reference.bytes) readOn();
      yield piece;
    }
  }
}

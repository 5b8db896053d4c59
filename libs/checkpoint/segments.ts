import { Decoder } from '@toondepauw/node-zstd';
import type { BlobStore } from '@dormouse/storage';
import { corrupt } from './corruption';
import type { CheckpointSecrets, SegmentedKind } from './encryption';
import { lengthBytes, longestSegmentBytes, objectHeaderBytes } from './layout';
import type { ObjectReference } from './manifest-shape';
import { readRange, readStart } from './read-objects';
import type { ObjectStart } from './wake-set-starts';

/** Bytes that are read together, and how many such reads are under way at once: each costs processor time that QEMU could use. */
const pieceBytes = 4 * 1024 * 1024;
const piecesAhead = 3;
/** Segments that are being decompressed while the one before them is looked at. */
const segmentsAhead = 4;

const decoder = new Decoder();

/** An object that consists of segments, where it is stored. */
export interface SegmentedObject {
  readonly kind: SegmentedKind;
  readonly store: BlobStore;
  readonly object: string;
  readonly reference: ObjectReference;
  readonly start: ObjectStart;
  readonly secrets: CheckpointSecrets;
}

/**
 * The plaintexts of an object's segments, read once from its beginning to its end while what was read is used already.
 * @throws CHECKPOINT_CORRUPT, CHECKPOINT_INCOMPLETE, FORMAT_UNSUPPORTED naming the object; STORAGE_FAILED
 */
export async function* readSegments(stored: SegmentedObject): AsyncGenerator<Buffer> {
  const opening: Promise<Buffer>[] = [];
  for await (const compressed of decrypted(stored)) {
    const plain = decoder.decode(compressed).catch((cause: unknown) => {
      throw corrupt(stored.object, 'a segment does not decompress', cause);
    });
    plain.catch(() => undefined); // met when its turn has come
    opening.push(plain);
    if (opening.length > segmentsAhead) yield await opening.shift()!;
  }
  for (const plain of opening) yield await plain;
}

async function* decrypted(stored: SegmentedObject): AsyncGenerator<Buffer> {
  const { kind, object, reference, secrets } = stored;
  let known: Buffer = Buffer.alloc(0);
  let header: Buffer | null = null;
  let index = 0;
  for await (const piece of pieces(stored)) {
    known = known.length === 0 ? piece : Buffer.concat([known, piece]);
    if (header === null) {
      if (known.length < objectHeaderBytes) throw corrupt(object, 'it is cut off');
      header = known.subarray(0, objectHeaderBytes);
      secrets.checkHeader(kind, header, reference.bytes - objectHeaderBytes, object);
      known = known.subarray(objectHeaderBytes);
    }
    while (known.length >= lengthBytes) {
      const bytes = known.readUInt32LE(0);
      if (bytes > longestSegmentBytes) throw corrupt(object, 'a segment is longer than segments are');
      const end = lengthBytes + bytes;
      if (known.length < end) break;
      yield secrets.decryptSegment(kind, header, index++, known.subarray(lengthBytes, end), object);
      known = known.subarray(end);
    }
  }
  if (header === null || known.length > 0) throw corrupt(object, 'it is cut off');
}

async function* pieces({ store, object, reference, start }: SegmentedObject): AsyncGenerator<Buffer> {
  const reads = [readStart(start, object, reference.bytes)]; // by itself: what is read beside it shares its way
  let offset = Math.min(start.most, reference.bytes);
  const readOn = (): void => {
    const length = Math.min(pieceBytes, reference.bytes - offset);
    const read = readRange(store, object, reference.bytes, { offset, length });
    read.catch(() => undefined); // met when its turn has come
    reads.push(read);
    offset += length;
  };
  for (let read = reads.shift(); read !== undefined; read = reads.shift()) {
    const piece = await read;
    while (reads.length < piecesAhead && offset < reference.bytes) readOn();
    yield piece;
  }
}

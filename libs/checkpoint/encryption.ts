import { createCipheriv, createDecipheriv, createHmac, hkdfSync, timingSafeEqual, type CipherGCM } from 'node:crypto';
import { DormouseError } from '@dormouse/errors';
import { corrupt, unsupported } from './corruption';
import {
  formatVersion,
  keyBytes,
  lengthBytes,
  longestObjectBytes,
  objectHeaderBytes,
  objectKinds,
  tagBytes,
  type ObjectKind,
} from './layout';

const algorithm = 'aes-256-gcm';

/** What a desktop's checkpoints are encrypted with. */
export interface DataKey {
  readonly keyId: string;
  /** 32 bytes. */
  readonly key: Buffer;
}

/** Encrypted in segments, each by itself. */
export type SegmentedKind = 'wakePack' | 'wakePages';

/** Encrypted in one piece. */
type WholeKind = Exclude<ObjectKind, SegmentedKind>;

/** Of those, the ones that name their length at their head. */
type LengthKind = {
  [Kind in WholeKind]: (typeof objectKinds)[Kind]['namesLength'] extends true ? Kind : never;
}[WholeKind];

/** An object that is encrypted part by part: the header, then what becomes of each part, then the tag. */
export class ObjectCipher {
  private readonly cipher: CipherGCM;

  constructor(
    key: Uint8Array,
    readonly header: Buffer,
  ) {
    this.cipher = createCipheriv(algorithm, key, objectNonce).setAAD(header);
  }

  update(part: Uint8Array): Buffer {
    return this.cipher.update(part);
  }

  tag(): Buffer {
    return Buffer.concat([this.cipher.final(), this.cipher.getAuthTag()]);
  }
}

/** The keys of one checkpoint: derived, never stored. */
export class CheckpointSecrets {
  private packKey: Buffer | null = null;
  /** Of objects, by purpose. */
  private readonly objectKeys = new Map<string, Buffer>();

  constructor(
    readonly dataKey: DataKey,
    readonly checkpointId: string,
  ) {
    if (dataKey.key.length !== keyBytes) throw new DormouseError('INTERNAL', 'a data key has 32 bytes');
  }

  /** Of the frames this checkpoint writes. */
  get pack(): Buffer {
    return (this.packKey ??= this.derive('pack'));
  }

  /** HMAC-SHA-256 over the manifest's JSON. */
  seal(json: Buffer): Buffer {
    return createHmac('sha256', this.derive('manifest')).update(json).digest();
  }

  /** @throws CHECKPOINT_KEY_MISMATCH naming `object` */
  checkSeal(json: Buffer, seal: string, object: string): void {
    const expected = this.seal(json);
    // Buffer.from would take upper case as well, or stop at what is no digit.
    const given = Buffer.from(/^[0-9a-f]{64}$/.test(seal) ? seal : '', 'hex');
    if (given.length === expected.length && timingSafeEqual(given, expected)) return;
    throw keyMismatch(object, `${object} was not written with the data key of this desktop`);
  }

  /**
   * Header, ciphertext and tag of an object, part by part: a large one would otherwise be in memory several times.
   * @param name tells objects of the same kind apart: each has its own key
   */
  *encryptObject(kind: LengthKind, plaintext: readonly Buffer[], name?: string): Generator<Buffer, void> {
    const bytes = plaintext.reduce((sum, { length }) => sum + length, 0);
    const cipher = new ObjectCipher(this.keyOf(kind, name), headerOf(kind, bytes));
    yield cipher.header;
    for (const part of plaintext) yield cipher.update(part);
    yield cipher.tag();
  }

  /** For an object of which nobody knows yet how long it will be. Once only. */
  beginObject(kind: Exclude<WholeKind, LengthKind>): ObjectCipher {
    return new ObjectCipher(this.keyOf(kind), headerOf(kind, 0));
  }

  /** @throws CHECKPOINT_CORRUPT, FORMAT_UNSUPPORTED naming `object` */
  decryptObject(kind: WholeKind, stored: Buffer, object: string, name?: string): Buffer {
    const header = stored.subarray(0, objectHeaderBytes);
    this.checkHeader(kind, header, stored.length - objectHeaderBytes - tagBytes, object);
    const plaintext = decrypt(this.keyOf(kind, name), objectNonce, stored.subarray(objectHeaderBytes), header);
    if (plaintext === null) throw corrupt(object, 'its tag does not match');
    return plaintext;
  }

  /**
   * An object that is read piece by piece: its header, and each segment behind its length. Nobody can wait for its digest,
   * so the object's key is authenticated with every segment.
   * @returns its parts
   */
  encryptSegments(kind: SegmentedKind, segments: readonly Buffer[], object: string): Buffer[] {
    const bytes = segments.reduce((sum, { length }) => sum + lengthBytes + length + tagBytes, 0);
    const header = headerOf(kind, bytes);
    const key = this.keyOf(kind);
    const encrypted = segments.flatMap((segment, index) => {
      const length = Buffer.alloc(lengthBytes);
      length.writeUInt32LE(segment.length + tagBytes);
      return [length, encrypt(key, segmentNonce(index), segment, placeOf(header, object))];
    });
    return [header, ...encrypted];
  }

  /** @param index of the segment, from 0 @throws CHECKPOINT_CORRUPT naming `object` */
  decryptSegment(kind: SegmentedKind, header: Buffer, index: number, stored: Buffer, object: string): Buffer {
    const plaintext =
      stored.length < tagBytes ? null : decrypt(this.keyOf(kind), segmentNonce(index), stored, placeOf(header, object));
    if (plaintext === null) throw corrupt(object, `the tag of its segment ${index} does not match`);
    return plaintext;
  }

  /** @param bytes that follow the header, the tag of a whole object apart @throws CHECKPOINT_CORRUPT, FORMAT_UNSUPPORTED */
  checkHeader(kind: ObjectKind, header: Buffer, bytes: number, object: string): void {
    const { magic, version: newest, oldest, namesLength } = objectKinds[kind];
    if (header.length < objectHeaderBytes || header.toString('latin1', 0, 4) !== magic) {
      throw corrupt(object, `it does not begin with ${magic}`);
    }
    const version = header.readUInt16LE(4);
    if (version < oldest || version > newest) throw unsupported(object, `its version is ${version}`);
    const length = header.readBigUInt64LE(8);
    if (bytes > longestObjectBytes || Number(length) !== (namesLength ? bytes : 0)) {
      throw corrupt(object, 'its length is not the one it names');
    }
  }

  private keyOf(kind: ObjectKind, name?: string): Buffer {
    const { purpose } = objectKinds[kind];
    const whole = name === undefined ? purpose : `${purpose} ${name}`;
    const known = this.objectKeys.get(whole);
    if (known !== undefined) return known;
    const key = this.derive(whole);
    this.objectKeys.set(whole, key);
    return key;
  }

  private derive(purpose: string): Buffer {
    return Buffer.from(
      hkdfSync('sha256', this.dataKey.key, this.checkpointId, `dormouse ${formatVersion} ${purpose}`, keyBytes),
    );
  }
}

/** Each key encrypts one object, which is written once. */
const objectNonce = Buffer.alloc(12);

function segmentNonce(index: number): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32LE(index, 0);
  return nonce;
}

function placeOf(header: Buffer, object: string): Buffer {
  return Buffer.concat([header, Buffer.from(object, 'latin1')]);
}

function headerOf(kind: ObjectKind, bytes: number): Buffer {
  const { magic, version } = objectKinds[kind];
  const header = Buffer.alloc(objectHeaderBytes);
  header.write(magic, 0, 'latin1');
  header.writeUInt16LE(version, 4);
  header.writeBigUInt64LE(BigInt(bytes), 8);
  return header;
}

/** Unique under the key of the checkpoint that writes the pack: nothing is ever written to the same place again. */
export function frameNonce(packNumber: number, offset: number): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32LE(packNumber, 0);
  nonce.writeBigUInt64LE(BigInt(offset), 4);
  return nonce;
}

/** Ciphertext and tag, one after the other. */
export function encrypt(key: Uint8Array, nonce: Buffer, plaintext: Uint8Array, additional?: Buffer): Buffer {
  const cipher = createCipheriv(algorithm, key, nonce);
  if (additional !== undefined) cipher.setAAD(additional);
  return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

/** As `encrypt`, to where `into` begins, which may be where the plaintext stands. @returns its length */
export function encryptInto(into: Buffer, key: Uint8Array, nonce: Buffer, plaintext: Uint8Array): number {
  const cipher = createCipheriv(algorithm, key, nonce);
  const length = cipher.update(plaintext).copy(into);
  cipher.final(); // of a stream cipher there is nothing left
  return length + cipher.getAuthTag().copy(into, length);
}

/** @returns null when the tag does not match */
export function decrypt(key: Uint8Array, nonce: Buffer, stored: Buffer, additional?: Buffer): Buffer | null {
  const tagAt = stored.length - tagBytes;
  const decipher = createDecipheriv(algorithm, key, nonce);
  if (additional !== undefined) decipher.setAAD(additional);
  decipher.setAuthTag(stored.subarray(tagAt));
  const plaintext = decipher.update(stored.subarray(0, tagAt));
  try {
    decipher.final();
  } catch {
    return null; // the one thing it throws for: the tag
  }
  return plaintext;
}

export function keyMismatch(object: string, message: string): DormouseError {
  return new DormouseError('CHECKPOINT_KEY_MISMATCH', message, { object });
}

/** What it takes to read pages that are stored, and pages that stand on disk. */
export interface ReadingKeys {
  readonly dataKey: DataKey;
  readonly contentKey: Buffer;
}

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

type KindThatNames<What> = {
  [Kind in ObjectKind]: (typeof objectKinds)[Kind]['names'] extends What ? Kind : never;
}[ObjectKind];

/** Encrypted in one piece. */
type WholeKind = KindThatNames<'length' | 'nothing'>;

/** Where a segment stands in its object. */
export interface SegmentPlace {
  /** Segments that follow it. */
  readonly behind: number;
  /** The object's key. */
  readonly object: string;
}

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
  *encryptObject(kind: KindThatNames<'length'>, plaintext: readonly Buffer[], name?: string): Generator<Buffer, void> {
    const bytes = plaintext.reduce((sum, { length }) => sum + length, 0);
    const cipher = new ObjectCipher(this.keyOf(kind, name), headerOf(kind, bytes));
    yield cipher.header;
    for (const part of plaintext) yield cipher.update(part);
    yield cipher.tag();
  }

  /** For an object of which nobody knows yet how long it will be. Once only. */
  beginObject(kind: KindThatNames<'nothing'>): ObjectCipher {
    return new ObjectCipher(this.keyOf(kind), headerOf(kind, 0));
  }

  /** @throws CHECKPOINT_CORRUPT, FORMAT_UNSUPPORTED naming `object` */
  decryptObject(kind: WholeKind, stored: Buffer, object: string, name?: string): Buffer {
    const header = stored.subarray(0, objectHeaderBytes);
    const bytes = stored.length - objectHeaderBytes - tagBytes;
    const named = this.checkHeader(kind, header, object);
    if (bytes > longestObjectBytes || named !== (objectKinds[kind].names === 'length' ? bytes : 0)) {
      throw corrupt(object, 'its length is not the one it names');
    }
    const plaintext = decrypt(this.keyOf(kind, name), objectNonce, stored.subarray(objectHeaderBytes), header);
    if (plaintext === null) throw corrupt(object, 'its tag does not match');
    return plaintext;
  }

  /** The header of an object of segments. */
  segmentsHeader(kind: KindThatNames<'segments'>, count: number): Buffer {
    return headerOf(kind, count);
  }

  /**
   * A segment as it is stored, of an object that is read piece by piece. Nobody can wait for its digest, so the object's key is
   * authenticated with every segment. They are told apart by how many follow: the last ones can be encrypted before anybody knows how many
   * come before them.
   * @returns its length and its ciphertext
   */
  encryptSegment(kind: KindThatNames<'segments'>, { behind, object }: SegmentPlace, plaintext: Buffer): Buffer[] {
    const encrypted = encrypt(this.keyOf(kind), segmentNonce(behind), plaintext, aboutSegments(kind, object));
    const length = Buffer.alloc(lengthBytes);
    length.writeUInt32LE(encrypted.length);
    return [length, encrypted];
  }

  /** @param stored its ciphertext @throws CHECKPOINT_CORRUPT naming the object */
  decryptSegment(kind: KindThatNames<'segments'>, { behind, object }: SegmentPlace, stored: Buffer): Buffer {
    const plaintext =
      stored.length < tagBytes
        ? null
        : decrypt(this.keyOf(kind), segmentNonce(behind), stored, aboutSegments(kind, object));
    if (plaintext === null) throw corrupt(object, `the tag of a segment with ${behind} behind it does not match`);
    return plaintext;
  }

  /** @returns what the header `names` @throws CHECKPOINT_CORRUPT, FORMAT_UNSUPPORTED */
  checkHeader(kind: ObjectKind, header: Buffer, object: string): number {
    const { magic, version: known } = objectKinds[kind];
    if (header.length < objectHeaderBytes || header.toString('latin1', 0, 4) !== magic) {
      throw corrupt(object, `it does not begin with ${magic}`);
    }
    const version = header.readUInt16LE(4);
    if (version !== known) throw unsupported(object, `its version is ${version}`);
    if (header.readUInt16LE(6) !== 0) throw corrupt(object, 'its header has something where nothing is');
    return Number(header.readBigUInt64LE(8));
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

function segmentNonce(behind: number): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32LE(behind, 0);
  return nonce;
}

/** What is authenticated with each segment: the header, but for the number of them, and the object's key. */
function aboutSegments(kind: KindThatNames<'segments'>, object: string): Buffer {
  return Buffer.concat([headerOf(kind, 0).subarray(0, 8), Buffer.from(object, 'latin1')]);
}

/** @param named what the kind `names` */
function headerOf(kind: ObjectKind, named: number): Buffer {
  const { magic, version } = objectKinds[kind];
  const header = Buffer.alloc(objectHeaderBytes);
  header.write(magic, 0, 'latin1');
  header.writeUInt16LE(version, 4);
  header.writeBigUInt64LE(BigInt(named), 8);
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

import { createCipheriv, createDecipheriv, createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { DormouseError } from '@dormouse/errors';
import { corrupt, unsupported } from './corruption';
import {
  formatVersion,
  keyBytes,
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

type Purpose = 'pack' | 'manifest' | (typeof objectKinds)[ObjectKind]['purpose'];

/** The keys of one checkpoint: derived, never stored. */
export class CheckpointSecrets {
  private packKey: Buffer | null = null;

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

  /** Header, ciphertext and tag of an object. */
  encryptObject(kind: ObjectKind, plaintext: Buffer): Buffer {
    const header = Buffer.alloc(objectHeaderBytes);
    header.write(objectKinds[kind].magic, 0, 'latin1');
    header.writeUInt16LE(formatVersion, 4);
    header.writeBigUInt64LE(BigInt(plaintext.length), 8);
    const cipher = createCipheriv(algorithm, this.derive(objectKinds[kind].purpose), objectNonce);
    cipher.setAAD(header);
    return Buffer.concat([header, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
  }

  /** @throws CHECKPOINT_CORRUPT, FORMAT_UNSUPPORTED naming `object` */
  decryptObject(kind: ObjectKind, stored: Buffer, object: string): Buffer {
    const { magic, purpose } = objectKinds[kind];
    if (stored.length < objectHeaderBytes || stored.toString('latin1', 0, 4) !== magic) {
      throw corrupt(object, `it does not begin with ${magic}`);
    }
    const version = stored.readUInt16LE(4);
    if (version !== formatVersion) throw unsupported(object, `its version is ${version}`);
    const length = stored.readBigUInt64LE(8);
    const tagAt = stored.length - tagBytes;
    if (length > longestObjectBytes || tagAt - objectHeaderBytes !== Number(length)) {
      throw corrupt(object, 'its length is not the one it names');
    }
    const header = stored.subarray(0, objectHeaderBytes);
    const decipher = createDecipheriv(algorithm, this.derive(purpose), objectNonce);
    decipher.setAAD(header).setAuthTag(stored.subarray(tagAt));
    try {
      return Buffer.concat([decipher.update(stored.subarray(objectHeaderBytes, tagAt)), decipher.final()]);
    } catch (cause) {
      throw corrupt(object, 'its tag does not match', cause);
    }
  }

  private derive(purpose: Purpose): Buffer {
    return Buffer.from(hkdfSync('sha256', this.dataKey.key, this.checkpointId, `dormouse 2 ${purpose}`, keyBytes));
  }
}

/** Each key encrypts one object, which is written once. */
const objectNonce = Buffer.alloc(12);

/** Unique under the key of the checkpoint that writes the pack: nothing is ever written to the same place again. */
export function frameNonce(packNumber: number, offset: number): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32LE(packNumber, 0);
  nonce.writeBigUInt64LE(BigInt(offset), 4);
  return nonce;
}

/** Ciphertext and tag, one after the other. */
export function encryptFrame(key: Uint8Array, nonce: Buffer, plaintext: Uint8Array): Buffer {
  const cipher = createCipheriv(algorithm, key, nonce);
  return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

/** @returns null when the tag does not match */
export function decryptFrame(key: Uint8Array, nonce: Buffer, stored: Buffer): Buffer | null {
  const tagAt = stored.length - tagBytes;
  const decipher = createDecipheriv(algorithm, key, nonce);
  decipher.setAuthTag(stored.subarray(tagAt));
  const plaintext = decipher.update(stored.subarray(0, tagAt));
  try {
    decipher.final();
  } catch {
    return null;
  }
  return plaintext;
}

export function keyMismatch(object: string, message: string): DormouseError {
  return new DormouseError('CHECKPOINT_KEY_MISMATCH', message, { object });
}

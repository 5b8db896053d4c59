import { frameDigestBytes, frameEncoding, framePages, frameBytes } from './layout';
import { corrupt } from './corruption';

/** Where a frame is stored and how to know it again. */
export interface FrameLocation {
  /** Index into the manifest's list of packs. */
  readonly pack: number;
  readonly encoding: number;
  /** Stored length in bytes and offset in the pack. */
  readonly length: number;
  readonly offset: number;
  readonly digest: Buffer;
}

/**
 * One entry, 32 bytes: u16 pack · u8 encoding · u8 pages of a frame · u32 length · u64 offset · 16 bytes digest.
 * Kept in this form in memory too: a table of a large desktop has a million entries.
 */
export const frameEntryBytes = 32;

export class FrameTable {
  private bytes: Buffer = Buffer.alloc(1024 * frameEntryBytes);
  private count = 0;

  get length(): number {
    return this.count;
  }

  /** Takes the next frame number; `set` fills in its location once it is stored. */
  reserve(): number {
    if ((this.count + 1) * frameEntryBytes > this.bytes.length) {
      this.bytes = Buffer.concat([this.bytes, Buffer.alloc(this.bytes.length)]);
    }
    return this.count++;
  }

  set(frame: number, location: FrameLocation): void {
    const at = frame * frameEntryBytes;
    this.bytes.writeUInt16LE(location.pack, at);
    this.bytes[at + 2] = location.encoding;
    this.bytes[at + 3] = framePages;
    this.bytes.writeUInt32LE(location.length, at + 4);
    this.bytes.writeBigUInt64LE(BigInt(location.offset), at + 8);
    location.digest.copy(this.bytes, at + 16, 0, frameDigestBytes);
  }

  get(frame: number): FrameLocation {
    const at = frame * frameEntryBytes;
    return {
      pack: this.bytes.readUInt16LE(at),
      encoding: this.bytes[at + 2]!,
      length: this.bytes.readUInt32LE(at + 4),
      offset: Number(this.bytes.readBigUInt64LE(at + 8)),
      digest: this.bytes.subarray(at + 16, at + 32),
    };
  }

  encode(): Buffer {
    return this.bytes.subarray(0, this.count * frameEntryBytes);
  }

  /** @throws CHECKPOINT_CORRUPT naming `object` when an entry points outside its pack */
  static decode(encoded: Buffer, packSizes: readonly number[], object: string): FrameTable {
    const table = new FrameTable();
    table.bytes = encoded;
    table.count = encoded.length / frameEntryBytes;
    for (let frame = 0; frame < table.count; frame++) {
      const { pack, encoding, length, offset } = table.get(frame);
      const fits = offset + length <= (packSizes[pack] ?? -1) && length > 0 && length <= frameBytes;
      const known = encoding === frameEncoding.zstd || (encoding === frameEncoding.raw && length === frameBytes);
      if (!fits || !known || encoded[frame * frameEntryBytes + 3] !== framePages) {
        throw corrupt(object, `frame ${frame} points to nowhere`);
      }
    }
    return table;
  }
}

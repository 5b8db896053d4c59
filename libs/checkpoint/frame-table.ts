import { decodeColumns, encodeColumns, type Columns } from './columns';
import { corrupt } from './corruption';
import { frameBytes, frameEncoding, tagBytes } from './layout';

/** Where a frame is stored. */
export interface FrameLocation {
  /** Index into the manifest's list of packs. */
  readonly pack: number;
  readonly encoding: number;
  /** Stored length in bytes, its tag included, and offset in the pack. */
  readonly length: number;
  readonly offset: number;
}

/** pack · encoding · zero · length · offset */
const columns: Columns = [2, 1, 1, 4, 8];
const entryBytes = 16;

/** The frames of a checkpoint by their number. Kept in sixteen bytes each: a large desktop has a million. */
export class FrameTable {
  private bytes = Buffer.alloc(1024 * entryBytes);
  private count = 0;

  get length(): number {
    return this.count;
  }

  /** Takes the next frame number; `set` fills in its location once it is stored. */
  reserve(): number {
    if ((this.count + 1) * entryBytes > this.bytes.length) {
      this.bytes = Buffer.concat([this.bytes, Buffer.alloc(this.bytes.length)]);
    }
    return this.count++;
  }

  set(frame: number, { pack, encoding, length, offset }: FrameLocation): void {
    const at = frame * entryBytes;
    this.bytes.writeUInt16LE(pack, at);
    this.bytes[at + 2] = encoding;
    this.bytes.writeUInt32LE(length, at + 4);
    this.bytes.writeBigUInt64LE(BigInt(offset), at + 8);
  }

  get(frame: number): FrameLocation {
    const at = frame * entryBytes;
    return {
      pack: this.packOf(frame),
      encoding: this.bytes[at + 2]!,
      length: this.bytes.readUInt32LE(at + 4),
      offset: Number(this.bytes.readBigUInt64LE(at + 8)),
    };
  }

  /** The `pack` of its location. */
  packOf(frame: number): number {
    return this.bytes.readUInt16LE(frame * entryBytes);
  }

  /** The same frames in the order in which they are stored, and the number that each of them has there. */
  inStorageOrder(): { readonly table: FrameTable; readonly numberOf: Uint32Array } {
    const placeOf = new Float64Array(this.count); // exact: packs are far shorter than 4 GiB
    for (let frame = 0; frame < this.count; frame++) {
      const at = frame * entryBytes;
      placeOf[frame] = this.packOf(frame) * 2 ** 32 + Number(this.bytes.readBigUInt64LE(at + 8));
    }
    const order = Uint32Array.from(placeOf.keys()).sort((one, other) => placeOf[one]! - placeOf[other]!);
    const table = new FrameTable();
    table.count = this.count;
    table.bytes = Buffer.alloc(this.count * entryBytes);
    const numberOf = new Uint32Array(this.count);
    for (const [number, frame] of order.entries()) {
      this.bytes.copy(table.bytes, number * entryBytes, frame * entryBytes, (frame + 1) * entryBytes);
      numberOf[frame] = number;
    }
    return { table, numberOf };
  }

  encode(): Promise<Buffer[]> {
    return encodeColumns(this.count, columns, ([pack, encoding, , length, offset], from, to) => {
      let before = 0n;
      for (let frame = from; frame < to; frame++) {
        const at = frame * entryBytes;
        const n = frame - from;
        pack!.writeUInt16LE(this.bytes.readUInt16LE(at), n * 2);
        encoding![n] = this.bytes[at + 2]!;
        length!.writeUInt32LE(this.bytes.readUInt32LE(at + 4), n * 4);
        const place = this.bytes.readBigUInt64LE(at + 8);
        offset!.writeBigUInt64LE(BigInt.asUintN(64, place - before), n * 8);
        before = place;
      }
    });
  }

  /**
   * @returns the table and where it ends
   * @throws CHECKPOINT_CORRUPT naming `object`, also when an entry points outside its pack
   */
  static async decode(
    encoded: Buffer,
    at: number,
    count: number,
    packSizes: readonly number[],
    object: string,
  ): Promise<{ frames: FrameTable; end: number }> {
    const table = new FrameTable();
    const parts: Buffer[] = [];
    const end = await decodeColumns(encoded, at, count, columns, object, (fields, from, to) => {
      const part = Buffer.alloc((to - from) * entryBytes);
      const [pack, encoding, , length, offset] = fields;
      let place = 0n;
      for (let n = 0; n < to - from; n++) {
        place = BigInt.asUintN(64, place + offset!.readBigUInt64LE(n * 8));
        part.writeUInt16LE(pack!.readUInt16LE(n * 2), n * entryBytes);
        part[n * entryBytes + 2] = encoding![n]!;
        part.writeUInt32LE(length!.readUInt32LE(n * 4), n * entryBytes + 4);
        part.writeBigUInt64LE(place, n * entryBytes + 8);
      }
      parts.push(part);
    });
    table.bytes = Buffer.concat(parts);
    table.count = count;
    for (let frame = 0; frame < count; frame++) {
      if (!isPossible(table.get(frame), packSizes)) throw corrupt(object, `frame ${frame} points to nowhere`);
    }
    return { frames: table, end };
  }
}

function isPossible({ pack, encoding, length, offset }: FrameLocation, packSizes: readonly number[]): boolean {
  if (offset + length > (packSizes[pack] ?? -1) || length <= tagBytes) return false;
  if (encoding === frameEncoding.raw) return length === frameBytes + tagBytes;
  return encoding === frameEncoding.zstd && length <= frameBytes + tagBytes;
}

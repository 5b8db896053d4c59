import { pageHashBytes } from './layout';
import { copyHash, sameHash } from './page-hash';

/** Hashes of a piece: 256 KiB of them. */
const pieceHashes = 2 ** 14;

/**
 * Page hashes by their number. In pieces: to grow, a list copies nothing, and leaves nothing behind that would have to be
 * collected while a guest is read.
 */
export class HashList {
  private readonly pieces: Buffer[] = [];
  private count = 0;

  /** Over the same memory. @param hashes one after the other */
  static of(hashes: Buffer): HashList {
    const list = new HashList();
    const pieceBytes = pieceHashes * pageHashBytes;
    for (let at = 0; at < hashes.length; at += pieceBytes) list.pieces.push(hashes.subarray(at, at + pieceBytes));
    list.count = hashes.length / pageHashBytes;
    return list;
  }

  get length(): number {
    return this.count;
  }

  /** Makes the list so long; what is new is zero. */
  grow(count: number): void {
    this.count = count;
    while (this.pieces.length * pieceHashes < count) this.pieces.push(Buffer.alloc(pieceHashes * pageHashBytes));
  }

  /** @param hashes holds the hash from `at` on */
  put(number: number, hashes: Buffer, at: number): void {
    copyHash(hashes, at, this.pieceOf(number), placeOf(number));
  }

  /** Copies a hash out of the list. */
  copy(number: number, to: Buffer, toAt: number): void {
    copyHash(this.pieceOf(number), placeOf(number), to, toAt);
  }

  /** Copies `count` hashes of another list, from `number` there on. */
  putFrom(other: HashList, number: number, to: number, count: number): void {
    for (let n = 0; n < count; n++) this.put(to + n, other.pieceOf(number + n), placeOf(number + n));
  }

  same(number: number, hashes: Buffer, at: number): boolean {
    return sameHash(hashes, at, this.pieceOf(number), placeOf(number));
  }

  equal(one: number, other: number): boolean {
    return this.same(one, this.pieceOf(other), placeOf(other));
  }

  /** The first four bytes of a hash: as good as random. */
  head(number: number): number {
    return this.pieceOf(number).readUInt32LE(placeOf(number));
  }

  /** Those from number `from` to before `to`, in the memory of the list. */
  parts(from: number, to: number): Buffer[] {
    const parts: Buffer[] = [];
    for (let number = from; number < to;) {
      const count = Math.min(to - number, pieceHashes - (number % pieceHashes));
      const at = placeOf(number);
      parts.push(this.pieceOf(number).subarray(at, at + count * pageHashBytes));
      number += count;
    }
    return parts;
  }

  private pieceOf(number: number): Buffer {
    return this.pieces[Math.floor(number / pieceHashes)]!;
  }
}

const placeOf = (number: number): number => (number % pieceHashes) * pageHashBytes;

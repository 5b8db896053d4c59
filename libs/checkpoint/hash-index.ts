import type { HashList } from './hash-list';

const growth = 2;
const firstBuckets = 4096;
/** Of what stands in a bucket: a number of the list, and one. Memory that was never written to is empty. */
const empty = 0;

/**
 * Finds page hashes in a list. Open addressing over the hash itself, which is as good as random; at most half of the buckets
 * are taken. Sixteen bytes for a hash at most, those of the hash apart.
 */
export class HashIndex {
  private buckets = new Uint32Array(firstBuckets);
  private count = 0;

  constructor(private readonly list: HashList) {}

  get size(): number {
    return this.count;
  }

  /** The number of a hash that was added, or -1. @param hashes holds it from `at` on */
  find(hashes: Buffer, at: number): number {
    const mask = this.buckets.length - 1;
    for (let bucket = hashes.readUInt32LE(at) & mask; ; bucket = (bucket + 1) & mask) {
      const number = this.buckets[bucket]! - 1;
      if (number < 0) return -1;
      if (this.list.same(number, hashes, at)) return number;
    }
  }

  /** Adds a hash of the list, unless the same one is found already. */
  add(number: number): void {
    if ((this.count + 1) * 2 > this.buckets.length) this.grow();
    this.enter(number);
  }

  private enter(number: number): void {
    const mask = this.buckets.length - 1;
    let bucket = this.list.head(number) & mask;
    for (let entry = this.buckets[bucket]!; entry !== empty; entry = this.buckets[bucket]!) {
      if (this.list.equal(entry - 1, number)) return;
      bucket = (bucket + 1) & mask;
    }
    this.buckets[bucket] = number + 1;
    this.count++;
  }

  private grow(): void {
    const before = this.buckets;
    this.buckets = new Uint32Array(before.length * growth);
    this.count = 0;
    for (const entry of before) if (entry !== empty) this.enter(entry - 1);
  }
}

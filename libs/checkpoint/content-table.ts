import { pageHashBytes } from './layout';
import { copyHash, sameHash } from './page-hash';

const growth = 2;
const firstBuckets = 4096;
const empty = 0xffffffff;

/**
 * Page hashes and, for each, a place of two u32. Open addressing over the hash itself, which is as good as random; at most
 * half of the buckets are taken. Forty bytes for a hash at most.
 */
export class ContentTable {
  private hashes = Buffer.alloc((firstBuckets / 2) * pageHashBytes);
  private places = new Uint32Array(firstBuckets);
  private buckets = new Uint32Array(firstBuckets).fill(empty);
  private count = 0;

  get size(): number {
    return this.count;
  }

  /** The number of a hash that was added, or -1. */
  find(hashes: Buffer, at: number): number {
    const mask = this.buckets.length - 1;
    for (let bucket = hashes.readUInt32LE(at) & mask; ; bucket = (bucket + 1) & mask) {
      const entry = this.buckets[bucket]!;
      if (entry === empty) return -1;
      if (sameHash(hashes, at, this.hashes, entry * pageHashBytes)) return entry;
    }
  }

  first(entry: number): number {
    return this.places[entry * 2]!;
  }

  second(entry: number): number {
    return this.places[entry * 2 + 1]!;
  }

  hash(entry: number): Buffer {
    return this.hashes.subarray(entry * pageHashBytes, (entry + 1) * pageHashBytes);
  }

  /** Adds a hash, or changes the place of one that is there. */
  set(hashes: Buffer, at: number, first: number, second: number): void {
    let entry = this.find(hashes, at);
    if (entry < 0) {
      if ((this.count + 1) * 2 > this.buckets.length) this.grow();
      entry = this.count++;
      copyHash(hashes, at, this.hashes, entry * pageHashBytes);
      this.index(entry);
    }
    this.places[entry * 2] = first;
    this.places[entry * 2 + 1] = second;
  }

  private index(entry: number): void {
    const mask = this.buckets.length - 1;
    let bucket = this.hashes.readUInt32LE(entry * pageHashBytes) & mask;
    while (this.buckets[bucket] !== empty) bucket = (bucket + 1) & mask;
    this.buckets[bucket] = entry;
  }

  private grow(): void {
    const buckets = this.buckets.length * growth;
    const hashes = Buffer.alloc((buckets / 2) * pageHashBytes);
    this.hashes.copy(hashes);
    const places = new Uint32Array(buckets);
    places.set(this.places);
    this.hashes = hashes;
    this.places = places;
    this.buckets = new Uint32Array(buckets).fill(empty);
    for (let entry = 0; entry < this.count; entry++) this.index(entry);
  }
}

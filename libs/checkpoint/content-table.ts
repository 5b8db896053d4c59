import { HashIndex } from './hash-index';
import { HashList } from './hash-list';

const firstPlaces = 2048;

/** Page hashes and, for each, a place of two u32. Forty bytes for a hash at most. */
export class ContentTable {
  private readonly hashes = new HashList();
  private readonly index = new HashIndex(this.hashes);
  private places = new Uint32Array(firstPlaces * 2);

  get size(): number {
    return this.index.size;
  }

  /** The number of a hash that was added, or -1. */
  find(hashes: Buffer, at: number): number {
    return this.index.find(hashes, at);
  }

  first(entry: number): number {
    return this.places[entry * 2]!;
  }

  second(entry: number): number {
    return this.places[entry * 2 + 1]!;
  }

  copyHash(entry: number, to: Buffer, toAt: number): void {
    this.hashes.copy(entry, to, toAt);
  }

  /** Adds a hash, or changes the place of one that is there. */
  set(hashes: Buffer, at: number, first: number, second: number): void {
    let entry = this.find(hashes, at);
    if (entry < 0) {
      entry = this.hashes.length;
      this.hashes.grow(entry + 1);
      this.hashes.put(entry, hashes, at);
      this.index.add(entry);
      if ((entry + 1) * 2 > this.places.length) this.growPlaces();
    }
    this.places[entry * 2] = first;
    this.places[entry * 2 + 1] = second;
  }

  private growPlaces(): void {
    const places = new Uint32Array(this.places.length * 2);
    places.set(this.places);
    this.places = places;
  }
}

import { createHash } from 'node:crypto';
import type { ObjectReference } from './manifest-shape';

/** Parts of an object, gone through once; then its length and its digest are known. */
export class Digested implements Iterable<Buffer, void> {
  private readonly digest = createHash('sha256');
  private bytes = 0;

  constructor(private readonly parts: Iterable<Buffer>) {}

  *[Symbol.iterator](): Generator<Buffer, void> {
    for (const part of this.parts) {
      this.digest.update(part);
      this.bytes += part.length;
      yield part;
    }
  }

  reference(): ObjectReference {
    return { bytes: this.bytes, sha256: this.digest.digest('hex') };
  }
}

/** Lists of u32, little-endian, one after the other. */
export function encodeWords(values: Uint32Array): Buffer {
  const encoded = Buffer.alloc(values.length * 4);
  values.forEach((value, n) => encoded.writeUInt32LE(value, n * 4));
  return encoded;
}

/** A copy. */
export function decodeWords(encoded: Buffer): Uint32Array {
  return words(encoded).slice();
}

/** The one list and behind it the other. */
export function joinWords(one: Uint32Array, other: Uint32Array): Uint32Array {
  const both = new Uint32Array(one.length + other.length);
  both.set(one);
  both.set(other, one.length);
  return both;
}

/** The u32 of a list, where they stand if they are aligned. Node runs nowhere but where words are little-endian, like the format's. */
export function words(encoded: Buffer): Uint32Array {
  const { buffer, byteOffset, length } = aligned(encoded, 4);
  return new Uint32Array(buffer, byteOffset, length / 4);
}

/** The same of u16. */
export function halfWords(encoded: Buffer): Uint16Array {
  const { buffer, byteOffset, length } = aligned(encoded, 2);
  return new Uint16Array(buffer, byteOffset, length / 2);
}

function aligned(encoded: Buffer, bytes: number): Buffer {
  return encoded.byteOffset % bytes === 0 ? encoded : Buffer.from(new Uint8Array(encoded).buffer);
}

/** Lists of u32, little-endian, one after the other. */
export function encodeWords(values: Uint32Array): Buffer {
  const encoded = Buffer.alloc(values.length * 4);
  values.forEach((value, n) => encoded.writeUInt32LE(value, n * 4));
  return encoded;
}

export function decodeWords(encoded: Buffer): Uint32Array {
  return Uint32Array.from({ length: encoded.length / 4 }, (_, n) => encoded.readUInt32LE(n * 4));
}

/**
 * The numbers of the format. All integers are little-endian. `docs/checkpoint-format.md` describes the objects.
 */

export const pageBytes = 4096;

/**
 * Pages of a frame, the unit of compression and of reading. Sixteen (64 KiB) is large enough for zstd to find
 * repetition and small enough that a page fault does not wait for what it did not ask for.
 */
export const framePages = 16;
export const frameBytes = framePages * pageBytes;

/** No pack is larger. A full one is made durable while the capture goes on. */
export const packBytes = 64 * 1024 * 1024;

export const formatVersion = 1;
export const pageMapMagic = 'DMPM';
export const wakePackMagic = 'DMWP';

/** What a page map entry says of its page. `absent`: never seen; a finished checkpoint has none. */
export const pageKind = { absent: 0, zero: 1, frame: 2 } as const;

/** How a frame's bytes are stored. */
export const frameEncoding = { raw: 0, zstd: 1 } as const;

/** Bytes of a frame's digest: SHA-256 of the stored bytes, cut. Guards against damage, not against an author. */
export const frameDigestBytes = 16;

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

/** Of the manifest, and of how keys are derived. */
export const formatVersion = 3;

/**
 * Encrypted objects: the first four bytes of each, the purpose its key is derived for, its version and an earlier one that reads the same,
 * and whether its header names its length: one that is begun before that is known names none.
 */
export const objectKinds = {
  pageMap: { magic: 'DMPM', purpose: 'page-map', version: 3, oldest: 3, namesLength: true },
  knownPages: { magic: 'DMKP', purpose: 'known-pages', version: 4, oldest: 4, namesLength: false },
  wakePack: { magic: 'DMWP', purpose: 'wake-pack', version: 4, oldest: 3, namesLength: true },
  wakePages: { magic: 'DMWS', purpose: 'wake-pages', version: 4, oldest: 4, namesLength: true },
  wakeTrace: { magic: 'DMWT', purpose: 'wake-trace', version: 3, oldest: 3, namesLength: true },
} as const;

export type ObjectKind = keyof typeof objectKinds;

/** magic · u16 version · u16 zero · u64 length of the plaintext, or of the segments; zero when it names none */
export const objectHeaderBytes = 16;
/** Of an object's plaintext, and of what it decompresses to. */
export const longestObjectBytes = 2 ** 30;
export const longestManifestBytes = 16 * 1024 * 1024;
/** More than the pages ahead and the longest list of requests take. */
export const longestTraceBytes = 16 * 1024 * 1024;
/**
 * The most that is read of an object as a whole, as it is stored. What lies in the storage may be anything, and of any size: a sparse
 * file costs whoever made it nothing. What is read in pieces (packs, the wake pack) is read by the sizes in the manifest.
 */
export const mostStoredBytes = {
  manifest: longestManifestBytes,
  wakeTrace: longestTraceBytes,
  pageMap: longestObjectBytes,
  knownPages: longestObjectBytes,
} as const;

/**
 * Pages of a segment of the wake pack (256 KiB). Large enough to compress well, small enough to be opened in less than a
 * millisecond, since a guest that runs already may be waiting for something else.
 */
export const segmentPages = 64;
/** In the head of a wake pack, for a place of the wake set that is not used: no machine has so many pages. */
export const noPage = 0xffffffff;
/** Before each segment: u32 length of its stored bytes. */
export const lengthBytes = 4;
/** The first one holds the device state. */
export const longestSegmentBytes = 2 ** 28;

/** What a page map entry says of its page. `absent`: never seen; a finished checkpoint has none. */
export const pageKind = { absent: 0, zero: 1, frame: 2, disk: 3 } as const;

/** How a frame's bytes are stored, encryption apart. */
export const frameEncoding = { raw: 0, zstd: 1 } as const;

/** Of AES-256-GCM. */
export const tagBytes = 16;
export const keyBytes = 32;

/** Head of SHA-256(content key ‖ page). */
export const pageHashBytes = 16;
/** Head of a page hash. */
export const pageTagBytes = 8;

/** Entries of a list that are compressed as one. */
export const entriesPerRun = 64 * 1024;

/** Requests of one wake that are kept; far more than a working set has. */
export const longestTracedRequests = 2 ** 20;

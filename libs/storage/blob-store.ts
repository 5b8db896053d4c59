/**
 * The storage port: named objects, written once, never modified. A key is slash-separated segments of
 * `[A-Za-z0-9._-]`, each beginning with a letter or a digit, 512 bytes at most; no key is a folder of another.
 *
 * Every adapter throws STORAGE_OBJECT_MISSING, STORAGE_FULL or STORAGE_FAILED and nothing else; each names the key.
 * A key or a range that cannot be is STORAGE_FAILED too: both may come out of a damaged manifest.
 */
export interface BlobStore {
  /**
   * Opens a new object. Nobody sees it before `commit`; a crash before that leaves nothing under the key.
   * A key that is taken is refused, here or at `commit`: whoever commits first has it.
   */
  create(key: string): Promise<BlobWriter>;

  /** The whole object, which may have `mostReadWhole` bytes, or exactly `range.length` bytes from `range.offset`. A shorter object is STORAGE_FAILED. */
  read(key: string, range?: BlobRange): Promise<Buffer>;

  /** The first bytes of an object: `most` of them, or all when it has no more. */
  readStart(key: string, most: number): Promise<Buffer>;

  /** Size and age of an object. */
  stat(key: string): Promise<BlobInfo>;

  /** Every committed object whose key starts with `prefix`, in no particular order. */
  list(prefix: string): AsyncIterable<BlobInfo>;

  /** Removes an object; removing what is not there is fine. */
  delete(key: string): Promise<void>;

  /** Bytes that can still be stored, or null when the store does not know. */
  availableBytes(): Promise<number | null>;

  /** Lets go of connections and open files. */
  close(): Promise<void>;
}

/** What is larger is read in pieces or from its start: whoever asks for a whole object has not asked how large it is. */
export const mostReadWhole = 16 * 1024 * 1024;

export interface BlobRange {
  readonly offset: number;
  readonly length: number;
}

export interface BlobInfo {
  readonly key: string;
  readonly bytes: number;
  readonly modifiedAt: Date;
}

/** One object being written. Calls must not overlap. After an error only `abort` is allowed. */
export interface BlobWriter {
  /** Appends. Once it resolves, `chunk` may be reused; what it held may still be on its way to the store. */
  write(chunk: Uint8Array): Promise<void>;
  /** Makes the object durable and visible under its key. */
  commit(): Promise<void>;
  /**
   * Gives up: nothing is left under the key. Safe to call twice and after a failed commit; does nothing after a
   * commit that succeeded. Never rejects: what cannot be removed now is invisible and is collected later.
   */
  abort(): Promise<void>;
}

/** Writes a small object in one go, or part by part as they are made. */
export async function putBlob(
  store: BlobStore,
  key: string,
  content: Uint8Array | Iterable<Uint8Array, void>,
): Promise<void> {
  const writer = await store.create(key);
  try {
    for (const part of content instanceof Uint8Array ? [content] : content) await writer.write(part);
    await writer.commit();
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

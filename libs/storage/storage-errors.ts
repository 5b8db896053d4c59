import { DormouseError, isDormouseError } from '@dormouse/errors';

export function objectMissing(key: string, cause?: unknown): DormouseError {
  return new DormouseError('STORAGE_OBJECT_MISSING', `the storage has no object '${key}'`, { key }, { cause });
}

export function storeAway(root: string, cause?: unknown): DormouseError {
  const message = `the storage is not in ${root} any more: was it mounted there, and is no longer?`;
  return new DormouseError('STORAGE_FAILED', message, { root }, { cause });
}

export function objectExists(key: string, cause?: unknown): DormouseError {
  const message = `'${key}' is in the storage already, and objects are never overwritten`;
  return new DormouseError('STORAGE_FAILED', message, { key }, { cause });
}

export function tooLarge(key: string, bytes: number): DormouseError {
  const message = `'${key}' has ${bytes} bytes, more than is read at once: it is not what its name says`;
  return new DormouseError('STORAGE_FAILED', message, { key, bytes });
}

export function rangeBeyondEnd(key: string, wanted: { offset: number; length: number }, bytes: number): DormouseError {
  const message = `'${key}' holds ${bytes} bytes, too few for ${wanted.length} from ${wanted.offset}: it was cut short`;
  return new DormouseError('STORAGE_FAILED', message, { key, bytes, offset: wanted.offset, length: wanted.length });
}

/** Use of a writer after its end or after an error of its own. */
export function writerEnded(key: string): DormouseError {
  return new DormouseError('STORAGE_FAILED', `the writer of '${key}' has ended and takes no more`, { key });
}

/** EFBIG: past the file size limit of the file system or of the process; to the one who saves it is all the same. */
const full = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/** What a failed system call means to the caller of a store. `doing` reads like "writing". */
export function fromFileSystem(error: unknown, key: string, doing: string): DormouseError {
  if (isDormouseError(error)) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const facts = { key, cause: code ?? message };
  if (code !== undefined && full.has(code)) {
    return new DormouseError('STORAGE_FULL', `no space left while ${doing} '${key}' (${code})`, facts, {
      cause: error,
    });
  }
  return new DormouseError('STORAGE_FAILED', `${doing} '${key}' failed: ${message}`, facts, { cause: error });
}

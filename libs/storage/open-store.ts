import type { BlobStore } from './blob-store';
import { FileStore } from './file-store';
import { parseStorageUrl, type S3Location } from './storage-url';

/**
 * Opens the store at a `file:` or `s3:` URL (see parseStorageUrl), and makes its directory if there is none. An S3 bucket is not
 * asked anything yet.
 * @throws CONFIG_INVALID for a URL that cannot be used, STORAGE_FAILED or STORAGE_FULL for a directory that cannot.
 */
export async function openBlobStore(url: string): Promise<BlobStore> {
  const location = parseStorageUrl(url);
  return location.kind === 'file' ? FileStore.open(location.root) : openS3Store(location);
}

/**
 * Opens a store that was opened before, on this host or another. Where what is mounted in its directory is away a new one is not made:
 * everything would be missing from it.
 * @throws as `openBlobStore`
 */
export async function openBlobStoreAgain(url: string): Promise<BlobStore> {
  const location = parseStorageUrl(url);
  return location.kind === 'file' ? FileStore.openAgain(location.root) : openS3Store(location);
}

function openS3Store(location: S3Location): BlobStore {
  // The AWS SDK takes longer to load than the whole of a pager that reads from files: load it for those who use it.
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  const { S3Store } = require('./s3-store') as typeof import('./s3-store');
  return new S3Store(location);
}

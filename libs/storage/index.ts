/**
 * Where checkpoints are kept: the BlobStore port and its adapters, a file system and S3.
 * Knows nothing of what is in an object, of desktops or of checkpoints.
 */
export { putBlob, type BlobInfo, type BlobRange, type BlobStore, type BlobWriter } from './blob-store';
export { forgetTries, tryStore } from './try-store';
export { directoryIdentity, storageIdentity } from './identity';
export { openBlobStore, openBlobStoreAgain } from './open-store';

import { S3ServiceException } from '@aws-sdk/client-s3';
import { DormouseError, isDormouseError } from '@dormouse/errors';
import { objectMissing } from './storage-errors';

/** S3 itself is never full; those who speak its protocol are: MinIO, Ceph, and any proxy that answers 507. */
const full = new Set(['XMinioStorageFull', 'XMinioAdminBucketQuotaExceeded', 'QuotaExceeded', 'InsufficientStorage']);

/** What a failed request means to the caller of a store. `doing` reads like "writing". */
export function fromS3(error: unknown, key: string, doing: string): DormouseError {
  if (isDormouseError(error)) return error;
  const { name, message } = error as Error;
  const status = error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined;
  // A HEAD has no body that could say more than 404. A missing bucket is not a missing object where S3 tells them apart.
  if (name === 'NoSuchKey' || name === 'NotFound') return objectMissing(key, error);
  const facts = { key, cause: name, ...(status === undefined ? {} : { status }) };
  if (status === 507 || full.has(name)) {
    return new DormouseError('STORAGE_FULL', `the storage is full: ${doing} '${key}' (${name})`, facts, {
      cause: error,
    });
  }
  return new DormouseError('STORAGE_FAILED', `${doing} '${key}' failed: ${name}: ${message}`, facts, { cause: error });
}

/** S3 refused because the object exists (If-None-Match), or does not know the upload any more (it is complete). */
export function isRefusedCommit(error: unknown): boolean {
  return error instanceof S3ServiceException && ['PreconditionFailed', 'NoSuchUpload'].includes(error.name);
}

import { randomUUID } from 'node:crypto';
import { link, mkdir, open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import { parseStorageUrl } from './storage-url';

const identityFile = '.dormouse-id';
/** A UUID and a line break, and room for more line breaks. */
const longestIdentityBytes = 64;

/**
 * A name that all who see this directory read in it, wherever they have mounted it: hosts that announce the same one have the
 * same files. Made by whoever comes first, whole or not at all.
 */
export async function directoryIdentity(directory: string): Promise<string> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const file = join(directory, identityFile);
  const draft = `${file}.${randomUUID()}`;
  try {
    await writeFile(draft, `${randomUUID()}\n`, { mode: 0o600, flag: 'wx' });
    await link(draft, file); // does not replace one that is there
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await rm(draft, { force: true });
  }
  return readIdentity(file);
}

async function readIdentity(file: string): Promise<string> {
  const handle = await open(file, 'r');
  try {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(longestIdentityBytes), 0, longestIdentityBytes, 0);
    const identity = buffer.toString('latin1', 0, bytesRead).trim();
    if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(identity)) return identity;
  } finally {
    await handle.close();
  }
  throw new DormouseError(
    'STORAGE_FAILED',
    `${file} does not hold an identity: bring it back from a backup, or remove it once no host uses the directory, and a new one is made`,
    { file },
  );
}

/** The same for the storage of checkpoints; of a bucket, where it is says which it is. Without credentials. */
export async function storageIdentity(storageUrl: string): Promise<string> {
  const location = parseStorageUrl(storageUrl);
  if (location.kind === 'file') return directoryIdentity(location.root);
  return `s3://${location.bucket}/${location.prefix} at ${location.endpoint ?? location.region}`;
}

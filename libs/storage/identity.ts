import { randomUUID } from 'node:crypto';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseStorageUrl } from './storage-url';

const identityFile = '.dormouse-id';

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
  return (await readFile(file, 'utf8')).trim();
}

/** The same for the storage of checkpoints; of a bucket, where it is says which it is. Without credentials. */
export async function storageIdentity(storageUrl: string): Promise<string> {
  const location = parseStorageUrl(storageUrl);
  if (location.kind === 'file') return directoryIdentity(location.root);
  return `s3://${location.bucket}/${location.prefix} at ${location.endpoint ?? location.region}`;
}

import { randomUUID } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectory, writeOnce, writeWhole } from '@dormouse/files';
import { parseStorageUrl } from './storage-url';

const identityFile = '.dormouse-id';
/** A UUID and a line break, and room for more line breaks. */
const longestIdentityBytes = 64;

/**
 * A name that all who see this directory read in it, wherever they have mounted it: hosts that announce the same one have the
 * same files. Made by whoever comes first, whole or not at all. One that is empty or damaged is made anew, and keeps nobody from
 * starting; hosts that still announce the old one count as not sharing the directory until their workers start again.
 */
export async function directoryIdentity(directory: string): Promise<string> {
  await makeDirectory(directory);
  const file = join(directory, identityFile);
  const mine = randomUUID();
  // Read first: in a directory that is full nothing can be written.
  const known = await readIdentity(file);
  if (known !== null) return known;
  if (await writeOnce(file, `${mine}\n`)) return mine;
  const others = await readIdentity(file);
  if (others !== null) return others;
  await writeWhole(file, `${mine}\n`);
  // Somebody else may have made it anew at the same time: the last one counts for all.
  return (await readIdentity(file)) ?? mine;
}

/** Null when there is none. */
async function readIdentity(file: string): Promise<string | null> {
  const handle = await open(file, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (handle === null) return null;
  try {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(longestIdentityBytes), 0, longestIdentityBytes, 0);
    const identity = buffer.toString('latin1', 0, bytesRead).trim();
    return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(identity) ? identity : null;
  } finally {
    await handle.close();
  }
}

/** The same for the storage of checkpoints; of a bucket, where it is says which it is. Without credentials. */
export async function storageIdentity(storageUrl: string): Promise<string> {
  const location = parseStorageUrl(storageUrl);
  if (location.kind === 'file') return directoryIdentity(location.root);
  return `s3://${location.bucket}/${location.prefix} at ${location.endpoint ?? location.region}`;
}

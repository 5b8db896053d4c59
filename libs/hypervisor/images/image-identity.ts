import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, realpath, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { headerBytes, locateBackingName, readBackingName } from '../layers/qcow2-backing';

/** What tells that a file is the one it was, and unchanged. Numbers that JSON would round are in decimal. */
export interface FileIdentity {
  /** Without symbolic links. */
  readonly path: string;
  readonly device: string;
  readonly inode: string;
  readonly bytes: string;
  readonly modifiedNs: string;
  readonly changedNs: string;
}

/** @throws ENOENT and the like */
export async function identityOf(file: string): Promise<FileIdentity> {
  const path = await realpath(file);
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
  return {
    path,
    device: String(dev),
    inode: String(ino),
    bytes: String(size),
    modifiedNs: String(mtimeNs),
    changedNs: String(ctimeNs),
  };
}

export function isSame(one: FileIdentity, other: FileIdentity): boolean {
  return keyOf(one) === keyOf(other);
}

export function keyOf({ path, device, inode, bytes, modifiedNs, changedNs }: FileIdentity): string {
  return [path, device, inode, bytes, modifiedNs, changedNs].join(' ');
}

const mostFiles = 32;

/** An image and the images it lies on, uppermost first. @throws ENOENT, DISK_SOURCE_CHANGED when a header is damaged */
export async function chainOf(image: string): Promise<FileIdentity[]> {
  const chain: FileIdentity[] = [];
  for (let file: string | null = image; file !== null && chain.length < mostFiles;) {
    const identity: FileIdentity = await identityOf(file);
    chain.push(identity);
    const below: string | null = await backingOf(identity.path);
    file = below === null ? null : resolve(dirname(identity.path), below);
  }
  return chain;
}

/** Null for an image of another format than qcow2, which lies on none. */
async function backingOf(path: string): Promise<string | null> {
  const handle = await open(path, 'r');
  try {
    const header = Buffer.alloc(headerBytes);
    const { bytesRead } = await handle.read(header, 0, headerBytes, 0);
    if (bytesRead < headerBytes || header.toString('latin1', 0, 4) !== 'QFI\xfb') return null;
    if (locateBackingName(header, path) === null) return null;
  } finally {
    await handle.close();
  }
  return readBackingName(path);
}

/** SHA-256 of all of a file, in hexadecimal. */
export async function digestOf(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 2 ** 20 }), hash, { ...(signal && { signal }) });
  return hash.digest('hex');
}

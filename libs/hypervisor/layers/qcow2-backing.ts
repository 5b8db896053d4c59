import { open } from 'node:fs/promises';
import { DormouseError } from '@dormouse/errors';

/**
 * The backing file in the header of a qcow2 image; integers are big-endian (QEMU: docs/interop/qcow2.txt):
 * 0 magic `QFI\xfb` · 4 u32 version · 8 u64 offset of the backing file's name, 0: none · 16 u32 its length.
 */
const magic = 0x514649fb;
export const headerBytes = 20;
const longestNameBytes = 1023;

/** Where in the file the name stands; null when there is none. @throws DISK_SOURCE_CHANGED when it is no such header */
export function locateBackingName(header: Buffer, file: string): { offset: number; length: number } | null {
  if (header.length < headerBytes || header.readUInt32BE(0) !== magic) throw damaged(file);
  const offset = header.readBigUInt64BE(8);
  const length = header.readUInt32BE(16);
  if (offset === 0n) return null;
  // It lies in the first cluster, which is 2 MiB at most.
  if (offset > 2n ** 21n || length === 0 || length > longestNameBytes) throw damaged(file);
  return { offset: Number(offset), length };
}

/** The name as it stands there: relative to the folder of the file, or absolute. @throws DISK_SOURCE_CHANGED */
export async function readBackingName(path: string): Promise<string | null> {
  const handle = await open(path, 'r');
  try {
    const header = Buffer.alloc(headerBytes);
    const { bytesRead } = await handle.read(header, 0, headerBytes, 0);
    const place = locateBackingName(header.subarray(0, bytesRead), path);
    if (place === null) return null;
    const name = Buffer.alloc(place.length);
    if ((await handle.read(name, 0, place.length, place.offset)).bytesRead < place.length) throw damaged(path);
    return name.toString('utf8');
  } finally {
    await handle.close();
  }
}

function damaged(file: string): DormouseError {
  const message = `${file} is not a whole qcow2 image. Bring it back from a backup, or move it away if no checkpoint needs it`;
  return new DormouseError('DISK_SOURCE_CHANGED', message, { file });
}

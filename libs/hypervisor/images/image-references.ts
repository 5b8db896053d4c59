import { open } from 'node:fs/promises';
import { locateBackingName } from '../layers/qcow2-backing';

/** What a qcow2 image says lies outside of it. Names are as they stand there, relative to its folder or absolute. */
export interface ImageReferences {
  readonly backing: { readonly name: string; readonly format: string | null } | null;
  readonly dataFile: string | null;
}

/**
 * Header, big-endian (QEMU: docs/interop/qcow2.txt): 0 magic `QFI\xfb` · 4 u32 version · 72 u64 incompatible features, of which bit 2: the content
 * is in another file · 100 u32 length of the header. Behind it extensions: u32 kind, u32 length, and as many bytes, filled up to a multiple of 8.
 */
const headerBytes = 104;
const versionTwoBytes = 72;
const externalData = 1n << 2n;
const extension = { end: 0, backingFormat: 0xe2792aca, dataFile: 0x44415441 } as const;
/** Extensions and the backing file's name lie in the first cluster. */
const mostBytes = 2 ** 21;

/** Null for a file that is no qcow2 image. @throws DISK_SOURCE_CHANGED when its header is damaged, ENOENT and the like */
export async function referencesOf(path: string): Promise<ImageReferences | null> {
  const handle = await open(path, 'r');
  try {
    const buffer = Buffer.alloc(mostBytes);
    const { bytesRead } = await handle.read(buffer, 0, mostBytes, 0);
    const image = buffer.subarray(0, bytesRead);
    if (bytesRead < versionTwoBytes || image.toString('latin1', 0, 4) !== 'QFI\xfb') return null;
    const isOld = image.readUInt32BE(4) < 3 || bytesRead < headerBytes;
    const extensions = extensionsOf(image, isOld ? versionTwoBytes : image.readUInt32BE(100));
    const place = locateBackingName(image, path);
    const name = place && image.toString('utf8', place.offset, place.offset + place.length);
    const isExternal = !isOld && (image.readBigUInt64BE(72) & externalData) !== 0n;
    return {
      backing: name === null ? null : { name, format: extensions.get(extension.backingFormat) ?? null },
      dataFile: isExternal ? (extensions.get(extension.dataFile) ?? '') : null,
    };
  } finally {
    await handle.close();
  }
}

function extensionsOf(image: Buffer, from: number): ReadonlyMap<number, string> {
  const found = new Map<number, string>();
  for (let at = from; at + 8 <= image.length;) {
    const [kind, length] = [image.readUInt32BE(at), image.readUInt32BE(at + 4)];
    if (kind === extension.end || at + 8 + length > image.length) break;
    found.set(kind, image.toString('utf8', at + 8, at + 8 + length));
    at += 8 + Math.ceil(length / 8) * 8;
  }
  return found;
}

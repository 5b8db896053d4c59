import { open } from 'node:fs/promises';
import { unlessGone } from './survey-layers';

/**
 * Whether anything was ever written to a qcow2 layer. QEMU enters the table of each region that gets content into the L1 table, at once and
 * past its cache; one whose L1 table is all zeros holds nothing (QEMU: docs/interop/qcow2.txt).
 *
 * Header, big-endian: 0 magic `QFI\xfb` · 36 u32 entries of the L1 table · 40 u64 its offset · 60 u32 number of snapshots.
 */
const magic = 0x514649fb;
const headerBytes = 72;
/** QEMU opens no image with a larger L1 table. */
const mostL1Bytes = 32 * 2 ** 20;

/** A file that is not there holds nothing. What cannot be read as a layer counts as written: nobody may throw it away for being empty. */
export async function isWrittenLayer(file: string): Promise<boolean> {
  return (await unlessGone(holdsContent(file))) ?? false;
}

async function holdsContent(path: string): Promise<boolean> {
  const handle = await open(path, 'r');
  try {
    const header = Buffer.alloc(headerBytes);
    const { bytesRead } = await handle.read(header, 0, headerBytes, 0);
    if (bytesRead < headerBytes || header.readUInt32BE(0) !== magic) return true;
    const tableBytes = header.readUInt32BE(36) * 8;
    const offset = header.readBigUInt64BE(40);
    if (tableBytes > mostL1Bytes || offset > BigInt(Number.MAX_SAFE_INTEGER) || header.readUInt32BE(60) > 0)
      return true;
    const table = Buffer.alloc(tableBytes);
    const { bytesRead: tableRead } = await handle.read(table, 0, tableBytes, Number(offset));
    return tableRead < tableBytes || table.some((byte) => byte !== 0);
  } finally {
    await handle.close();
  }
}

import { existsSync } from 'node:fs';
import { defaultQemuCache, unpackedQemu } from './unpack-qemu';

/**
 * The QEMUs that the tests run on: those that QEMU_BINARIES lists, or the distribution's and what `npm run qemu` has
 * unpacked.
 */
export function qemuBinaries(): readonly string[] {
  const listed = (process.env['QEMU_BINARIES'] ?? '').split(',').filter((path) => path.trim() !== '');
  if (listed.length > 0) return listed.map((path) => path.trim());
  const unpacked = unpackedQemu(defaultQemuCache(), '10');
  return ['qemu-system-x86_64', ...(existsSync(unpacked) ? [unpacked] : [])];
}

import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** `sun_path` of unix(7) holds 108 bytes, its closing NUL among them. */
const longestPathBytes = 107;

const openDirectories = new Map<string, number>();

/**
 * An address for the socket `name` in `directory` that connect(2) and bind(2) accept however long the directory's
 * name is: past the limit it goes through a descriptor of the directory, which this process then keeps open.
 * Only good inside this process.
 */
export function unixSocketPath(directory: string, name: string): string {
  const path = join(directory, name);
  if (Buffer.byteLength(path) <= longestPathBytes) return path;
  return `/proc/self/fd/${directoryDescriptor(directory)}/${name}`;
}

function directoryDescriptor(directory: string): number {
  const known = openDirectories.get(directory);
  if (known !== undefined) {
    // The directory may have been removed and made again since: its old descriptor would lead nowhere.
    if (fstatSync(known).ino === statSync(directory).ino) return known;
    closeSync(known);
  }
  const descriptor = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  openDirectories.set(directory, descriptor);
  return descriptor;
}

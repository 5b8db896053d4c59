import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** `sun_path` of unix(7) holds 108 bytes, its closing NUL among them. */
const longestPathBytes = 107;

/** By their use, the longest ago first. */
const openDirectories = new Map<string, number>();
/** An address is used as soon as it is asked for: nobody needs those of so many directories at a time. */
const mostOpenDirectories = 64;

/**
 * An address for the socket `name` in `directory` that connect(2) and bind(2) accept however long the directory's
 * name is: past the limit it goes through a descriptor of the directory, which this process then keeps open for a while.
 * Only good inside this process, and at once.
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
    openDirectories.delete(directory);
    if (isStill(known, directory)) {
      openDirectories.set(directory, known);
      return known;
    }
    closeSync(known);
  }
  const descriptor = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  openDirectories.set(directory, descriptor);
  const [oldest] = openDirectories;
  if (openDirectories.size > mostOpenDirectories && oldest !== undefined) {
    openDirectories.delete(oldest[0]);
    closeSync(oldest[1]);
  }
  return descriptor;
}

function isStill(descriptor: number, directory: string): boolean {
  const [opened, named] = [fstatSync(descriptor), statSync(directory, { throwIfNoEntry: false })];
  return opened.ino === named?.ino && opened.dev === named.dev;
}

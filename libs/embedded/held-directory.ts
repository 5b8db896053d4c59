import { closeSync, constants, openSync } from 'node:fs';

/** `sun_path` of unix(7) holds 108 bytes, its closing NUL among them. */
const longestPathBytes = 107;

/** A directory held open, so that its sockets have an address however long its name is. */
export class HeldDirectory {
  readonly descriptor: number;

  constructor(private readonly path: string) {
    this.descriptor = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  }

  /**
   * The directory under a name short enough for `socket` to be connected to by this and by every other process of the
   * same user: its own, or through our descriptor of it, which lives as long as we do, and the service no longer.
   */
  reachableFor(socket: string): string {
    if (Buffer.byteLength(`${this.path}/${socket}`) <= longestPathBytes) return this.path;
    return `/proc/${process.pid}/fd/${this.descriptor}`;
  }

  release(): void {
    closeSync(this.descriptor);
  }
}

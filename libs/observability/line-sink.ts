import { writeSync } from 'node:fs';
import type { DestinationStream } from 'pino';

/** A pipe that is full is tried again for so long, in steps; its reader may have been stopped. */
const fullPipe = { attempts: 100, pauseMs: 10 } as const;
const pause = new Int32Array(new SharedArrayBuffer(4));

/**
 * Writes lines to a descriptor at once, so that the last one before an end is not lost. One that cannot be written (the reader is gone,
 * the terminal was closed, the disk is full) is dropped: to write a line never ends a process.
 */
export function lineSink(descriptor: number): DestinationStream {
  return { write: (line) => writeAll(descriptor, Buffer.from(line)) };
}

function writeAll(descriptor: number, bytes: Buffer): void {
  for (let done = 0, attempts = 0; done < bytes.length && attempts < fullPipe.attempts;) {
    try {
      done += writeSync(descriptor, bytes, done);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
      attempts++;
      Atomics.wait(pause, 0, 0, fullPipe.pauseMs);
    }
  }
}

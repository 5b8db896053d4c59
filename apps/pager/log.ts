import { appendFileSync } from 'node:fs';

/** From now on what is written to standard error goes to `pager.log` in the working directory, with its time. */
export function logToRunDirectory(): void {
  process.stderr.write = (text: string | Uint8Array): boolean => {
    try {
      appendFileSync('pager.log', `${new Date().toISOString()} ${Buffer.from(text).toString()}`);
    } catch {
      return false; // the directory is full: the line is lost, the guest's memory is not
    }
    return true;
  };
}

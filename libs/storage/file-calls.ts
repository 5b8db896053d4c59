import { timedOut, within } from '@dormouse/limits';

/**
 * How many look-ups are under way at a time. A call of a file system that hangs keeps one of the process's four threads for files (libuv's) until it
 * returns, and no limit gives that back: were all four kept, nothing could be read from any other file system either.
 */
const mostLookUps = 3;

/**
 * The calls of a file store, each with a limit. Once one has not returned in time the file system hangs, as NFS does whose server is gone: until
 * it returns every other call fails at once, instead of keeping another thread.
 */
export class FileCalls {
  /** Calls that were given up and have not returned. */
  private hanging = 0;
  private lookUps = 0;
  private readonly waiting: (() => void)[] = [];

  /** @param about the key of an object, or a directory @throws STORAGE_FAILED when the file system does not answer */
  async within<T>(about: string, call: () => Promise<T>): Promise<T> {
    if (this.hanging > 0) throw timedOut('fileAnswer', about);
    const called = call();
    return within('fileAnswer', called, {
      about,
      onTimeout: () => {
        this.hanging++;
        const returned = (): void => void this.hanging--;
        called.then(returned, returned);
      },
    });
  }

  /** The same, for what nobody waits for page by page: few at a time. */
  async lookUp<T>(about: string, call: () => Promise<T>): Promise<T> {
    if (this.lookUps === mostLookUps) await new Promise<void>((resolve) => this.waiting.push(resolve));
    else this.lookUps++;
    try {
      return await this.within(about, call);
    } finally {
      const next = this.waiting.shift();
      if (next === undefined) this.lookUps--;
      else next();
    }
  }
}

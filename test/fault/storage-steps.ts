import { DormouseError, type ErrorCode } from '@dormouse/errors';
import type { BlobInfo, BlobStore, BlobWriter } from '@dormouse/storage';

/** One request to a storage. */
export interface Step {
  /** Counted from 1, in the order in which they are begun. */
  readonly number: number;
  readonly action: string;
  readonly key: string;
}

/** Decides what becomes of a step: whether it is done, when, and what is answered. */
export type Fate = <T>(act: () => Promise<T>, step: Step) => Promise<T>;

/** A real storage of which every step meets a fate. */
export class SteppedStore implements BlobStore {
  private readonly begun: Step[] = [];
  private readonly writers: BlobWriter[] = [];

  constructor(
    private readonly store: BlobStore,
    private readonly fate: Fate,
  ) {}

  /** Every step so far. */
  get steps(): readonly Step[] {
    return this.begun;
  }

  create(key: string): Promise<BlobWriter> {
    return this.step('create', key, async () => {
      const writer = await this.store.create(key);
      this.writers.push(writer);
      return new SteppedWriter(writer, key, this.step);
    });
  }

  read(...[key, range]: Parameters<BlobStore['read']>): Promise<Buffer> {
    return this.step('read', key, () => this.store.read(key, range));
  }

  readStart(key: string, most: number): Promise<Buffer> {
    return this.step('readStart', key, () => this.store.readStart(key, most));
  }

  stat(key: string): Promise<BlobInfo> {
    return this.step('stat', key, () => this.store.stat(key));
  }

  async *list(prefix: string): AsyncIterable<BlobInfo> {
    const found: BlobInfo[] = [];
    await this.step('list', prefix, async () => {
      for await (const info of this.store.list(prefix)) found.push(info);
    });
    yield* found;
  }

  delete(key: string): Promise<void> {
    return this.step('delete', key, () => this.store.delete(key));
  }

  availableBytes(): Promise<number | null> {
    return this.step('availableBytes', '', () => this.store.availableBytes());
  }

  close(): Promise<void> {
    return this.store.close();
  }

  /** Closes the files of one that was killed: here they are ours. */
  async bury(): Promise<void> {
    for (const writer of this.writers) await writer.abort();
  }

  private readonly step = <T>(action: string, key: string, act: () => Promise<T>): Promise<T> => {
    const step = { number: this.begun.length + 1, action, key };
    this.begun.push(step);
    return this.fate(act, step);
  };
}

class SteppedWriter implements BlobWriter {
  private failed = false;

  constructor(
    private readonly writer: BlobWriter,
    private readonly key: string,
    private readonly step: <T>(action: string, key: string, act: () => Promise<T>) => Promise<T>,
  ) {}

  write(chunk: Uint8Array): Promise<void> {
    return this.attempt('write', () => this.writer.write(chunk));
  }

  commit(): Promise<void> {
    return this.attempt('commit', () => this.writer.commit());
  }

  abort(): Promise<void> {
    return this.step('abort', this.key, () => this.writer.abort());
  }

  /** A writer that has failed takes no more, as every real one does. */
  private async attempt(action: string, act: () => Promise<void>): Promise<void> {
    if (this.failed) throw new DormouseError('STORAGE_FAILED', `the writer of '${this.key}' has ended`);
    try {
      await this.step(action, this.key, act);
    } catch (error) {
      this.failed = true;
      throw error;
    }
  }
}

const never = new Promise<never>(() => undefined);

/**
 * A process that is killed at one of its steps: before it is done, or when it is done and the answer has not come. What the
 * kernel was doing for it is still done; nothing else is.
 */
export class Death {
  private readonly underWay = new Set<Promise<unknown>>();
  private died = false;
  private tell = (): void => undefined;
  private readonly toll = new Promise<void>((resolve) => (this.tell = resolve));

  constructor(
    private readonly at: number,
    private readonly when: 'before' | 'after',
  ) {}

  readonly fate: Fate = async (act, { number }) => {
    if (this.died) return never;
    if (number === this.at && this.when === 'before') return this.die();
    const acting = act();
    const settled = acting.then(
      () => undefined,
      () => undefined,
    );
    this.underWay.add(settled);
    await settled;
    this.underWay.delete(settled);
    if (number === this.at) return this.die();
    return this.died ? never : acting;
  };

  /** Runs the process: true when it was killed, false when it came to its end before. */
  async ends(process: Promise<unknown>): Promise<boolean> {
    const killed = await Promise.race([process.then(() => false), this.toll.then(() => true)]);
    await Promise.all(this.underWay);
    return killed;
  }

  private die(): Promise<never> {
    this.died = true;
    this.tell();
    return never;
  }
}

/** One step fails; `done`: it was done all the same, and only the answer was lost. Writers are given up without fail. */
export function failing(at: number, code: ErrorCode, done: boolean): Fate {
  return async (act, { number, action, key }) => {
    if (number !== at || action === 'abort') return act();
    if (done) await act();
    throw new DormouseError(code, `${action} of '${key}' did not go well`, { key });
  };
}

/** One step is not answered until it is let go; then it is done. */
export class Hang {
  private release = (): void => undefined;
  private arrive = (): void => undefined;
  private readonly released = new Promise<void>((resolve) => (this.release = resolve));
  private readonly reached = new Promise<void>((resolve) => (this.arrive = resolve));

  constructor(private readonly at: number) {}

  readonly fate: Fate = async (act, { number }) => {
    if (number === this.at) {
      this.arrive();
      await this.released;
    }
    return act();
  };

  /** True once the step is reached, false when the process comes to its end before. */
  reachedBy(process: Promise<unknown>): Promise<boolean> {
    return Promise.race([process.then(() => false), this.reached.then(() => true)]);
  }

  letGo(): void {
    this.release();
  }
}

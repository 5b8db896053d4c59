import { tryDirectory } from '@dormouse/config';
import { describeError, type ErrorCode } from '@dormouse/errors';
import type { KeyRing } from '@dormouse/keys';
import type { HostTrouble } from '@dormouse/views';
import { within } from '@dormouse/limits';
import type { Logger, Metrics } from '@dormouse/observability';
import { forgetTries, tryStore, type BlobStore } from '@dormouse/storage';

/** Each look is a few small requests to the storage; one in trouble is looked at again soon. */
const everyMs = 30_000;
const inTroubleEveryMs = 5_000;
/** No try takes so long. */
const triesForgottenAfterMs = 60 * 60_000;

export interface HostWatchOptions {
  readonly store: BlobStore;
  readonly keys: Pick<KeyRing, 'contentKey'>;
  readonly disksDir: string;
  readonly runRoot: string;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'hostTroubles'>;
}

type Part = HostTrouble['part'];

/** Looks every now and then whether what saves and wakes need can be used. What cannot be is told before a user finds out. */
export class HostWatch {
  /** Called when something has come to be in trouble, or is well again. */
  onChange: () => void = () => undefined;
  private readonly found = new Map<Part, HostTrouble>();
  private readonly timers = new Map<Part, NodeJS.Timeout>();
  private stopped = false;
  private readonly looks: Readonly<Record<Part, () => Promise<unknown>>>;

  constructor(private readonly options: HostWatchOptions) {
    const { store, keys, disksDir, runRoot } = options;
    this.looks = {
      storage: () => within('storageLook', tryStore(store)),
      disks: () => within('directoryLook', tryDirectory(disksDir)),
      'run directory': () => within('directoryLook', tryDirectory(runRoot)),
      keys: () => keys.contentKey(),
    };
  }

  /** Resolves when everything was looked at once, and goes on looking. */
  async start(): Promise<void> {
    await Promise.all(Object.keys(this.looks).map((part) => this.look(part as Part)));
    if (this.found.has('storage')) return;
    // What cannot be removed now is removed at another start.
    await within('storageLook', this.forgetTries()).catch((error: unknown) => {
      this.options.logger.warn({ err: error }, 'what earlier looks have left in the storage could not be removed');
    });
  }

  stop(): void {
    this.stopped = true;
    for (const timer of this.timers.values()) clearTimeout(timer);
  }

  get troubles(): readonly HostTrouble[] {
    return [...this.found.values()];
  }

  private async look(part: Part): Promise<void> {
    await this.looks[part]().then(
      () => this.note(part, null),
      (error: unknown) => this.note(part, error),
    );
    if (this.stopped) return;
    const nextMs = this.found.has(part) ? inTroubleEveryMs : everyMs;
    this.timers.set(
      part,
      setTimeout(() => void this.look(part), nextMs),
    );
  }

  private note(part: Part, error: unknown): void {
    const { logger, metrics } = this.options;
    const before = this.found.get(part);
    metrics.hostTroubles.set({ part }, error === null ? 0 : 1);
    if (error === null) {
      this.found.delete(part);
      if (before !== undefined) logger.info({ part }, `the ${part} can be used again`);
    } else {
      const { code, message } = told(part, error);
      this.found.set(part, { part, code, message, since: before?.since ?? new Date().toISOString() });
      if (before?.code !== code) logger.error({ part, code }, message);
    }
    if (before?.code !== this.found.get(part)?.code) this.onChange();
  }

  private forgetTries(): Promise<void> {
    return forgetTries(this.options.store, new Date(Date.now() - triesForgottenAfterMs));
  }
}

const advice: Readonly<Record<Part, string>> = {
  storage: 'nothing can be saved or woken. Look at what STORAGE_URL names',
  disks: 'no desktop can be booted or woken. Make room in DISKS_DIR, or make it writable',
  'run directory': 'no desktop can be booted, saved or woken. Make room in DATA_DIR, or make it writable',
  keys: 'nothing can be saved or woken. Look at what KEY_URL names',
};

function told(part: Part, error: unknown): { code: ErrorCode; message: string } {
  const { code, message } = describeError(error);
  const isDirectory = part === 'disks' || part === 'run directory';
  return { code: isDirectory ? 'DIRECTORY_UNUSABLE' : code, message: `${message}: ${advice[part]}` };
}

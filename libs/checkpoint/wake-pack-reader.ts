import type { BlobStore } from '@dormouse/storage';
import { corrupt } from './corruption';
import type { CheckpointSecrets } from './encryption';
import { pageBytes, segmentPages } from './layout';
import type { Manifest } from './manifest-shape';
import type { CheckpointKeys } from './object-keys';
import { readSegments } from './segments';
import { decodeHead, type WakeHead } from './wake-head';
import type { WakeSetStarts } from './wake-set-starts';

/** Where the wake set of a checkpoint is stored. */
export interface StoredWakeSet extends Pick<Manifest, 'wakePack' | 'wakePages'> {
  readonly store: BlobStore;
  readonly keys: Pick<CheckpointKeys, 'wakePack' | 'wakePages'>;
  readonly secrets: CheckpointSecrets;
  readonly starts: WakeSetStarts;
}

/** Reads a wake pack and the wake pages once, from their beginning to their end, while what was read is used already. */
export class WakePackReader {
  private readonly ownSegments: AsyncGenerator<Buffer>;
  private readonly read: Promise<WakeHead>;

  /** @param pages of the guest's memory */
  constructor(
    private readonly stored: StoredWakeSet,
    private readonly pages: number,
  ) {
    const { wakePack: reference, keys, store, secrets } = stored;
    const { wakePack: start } = stored.starts;
    this.ownSegments = readSegments({ store, secrets, kind: 'wakePack', object: keys.wakePack, reference, start });
    this.read = this.readHead();
    this.read.catch(() => undefined); // whoever asks for it hears of it
  }

  /** @throws CHECKPOINT_CORRUPT, CHECKPOINT_INCOMPLETE, FORMAT_UNSUPPORTED naming the object; STORAGE_FAILED */
  head(): Promise<WakeHead> {
    return this.read;
  }

  /**
   * The content of the wake set's places, `segmentPages` at a time, the last time what is left. Once only.
   * @throws as `head`
   */
  async *content(): AsyncGenerator<Buffer> {
    const { wakePack, wakePages } = this.stored.keys;
    const { length } = (await this.read).pages;
    const wakePagesBegin = begun(this.wakePages());
    let place = 0;
    for (const [object, segments] of [
      [wakePack, this.ownSegments],
      [wakePages, wakePagesBegin],
    ] as const) {
      for await (const segment of segments) {
        if (segment.length !== Math.min(segmentPages, length - place) * pageBytes || segment.length === 0) {
          throw corrupt(object, 'a segment has another length than its part of the wake set');
        }
        yield segment;
        place += segment.length / pageBytes;
      }
    }
    if (place < length) throw corrupt(wakePack, 'it names more of a wake set than there is');
  }

  private async *wakePages(): AsyncGenerator<Buffer, void> {
    const { wakePages: reference, keys, store, secrets } = this.stored;
    const { wakePages: start } = this.stored.starts;
    if (reference) yield* readSegments({ store, secrets, kind: 'wakePages', object: keys.wakePages, reference, start });
  }

  private async readHead(): Promise<WakeHead> {
    const { wakePack } = this.stored.keys;
    const { value, done } = (await this.ownSegments.next()) as IteratorResult<Buffer, undefined>;
    if (done === true) throw corrupt(wakePack, 'it is empty');
    return decodeHead(value, this.pages, wakePack);
  }
}

/** What a generator yields; the first of it is being made from now on. */
function begun<T>(generator: AsyncGenerator<T, void>): AsyncGenerator<T, void> {
  const first = generator.next();
  first.catch(() => undefined); // met in its turn
  return (async function* () {
    const { value, done } = await first;
    if (done === true) return;
    yield value;
    yield* generator;
  })();
}

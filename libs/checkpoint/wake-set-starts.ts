import type { BlobStore } from '@dormouse/storage';
import { objectKeys } from './object-keys';
import type { CheckpointIdentity } from './object-keys';

/** Of the wake pack: it has the head, for which everything waits. */
const wakePackBytes = 256 * 1024;
/** Of the wake pages: more than a guest needs before it runs. */
const wakePagesBytes = 1024 * 1024;

/** The first bytes of an object. */
export interface ObjectStart {
  /** As many as were asked for, or all that the object has. */
  readonly content: Promise<Buffer>;
  /** How many were asked for. */
  readonly most: number;
}

/** The first bytes of a wake set. */
export interface WakeSetStarts {
  readonly wakePack: ObjectStart;
  readonly wakePages: ObjectStart;
}

/**
 * Begins to read a wake set by the names of its objects. The manifest, which tells whether and how large they are, need not be waited
 * for: it is as far away as they are.
 */
export function readWakeSetStarts(store: BlobStore, { desktopId, checkpointId }: CheckpointIdentity): WakeSetStarts {
  const { wakePack, wakePages } = objectKeys(desktopId, checkpointId);
  const start = (key: string, most: number): ObjectStart => {
    const content = store.readStart(key, most);
    content.catch(() => undefined); // met by whoever needs it
    return { content, most };
  };
  return { wakePack: start(wakePack, wakePackBytes), wakePages: start(wakePages, wakePagesBytes) };
}

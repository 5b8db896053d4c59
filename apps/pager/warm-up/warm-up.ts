import { randomBytes, randomUUID } from 'node:crypto';
import { HashThreads, keyBytes } from '@dormouse/checkpoint';
import type { PageThreads } from '../page-threads';
import { MemoryStore } from './memory-store';
import { warmUpCapture } from './warm-up-capture';
import { warmUpWake } from './warm-up-wake';
import { keepYoungMemory } from './young-memory';

/**
 * A save and a wake of a little made-up memory, on the threads of the one that may come. So the engine compiles their program
 * while nobody waits for it, and not in the middle of one (docs/decisions/0032-pagers-warm-up.md).
 * @param signal leave it: there is real work
 */
export async function warmUp({ hash, seal }: PageThreads, signal: AbortSignal): Promise<void> {
  const key = (): Buffer => randomBytes(keyBytes);
  const keys = { contentKey: key(), dataKey: { keyId: randomUUID(), key: key() } };
  const identity = { desktopId: 'warm-up', checkpointId: randomUUID() };
  const hasher = new HashThreads(keys.contentKey, hash);
  const store = new MemoryStore();
  const madeUp = { identity, keys, hasher, seal };
  const isSaved = await warmUpCapture(store, madeUp, signal);
  collectUnless(signal);
  if (isSaved) await warmUpWake(store, madeUp, signal);
  hasher.release();
  collectUnless(signal);
  if (!signal.aborted) keepYoungMemory(signal);
}

/** What comes next can use the memory again, instead of more: a pager in waiting has all of it for as long as it waits. */
function collectUnless({ aborted }: AbortSignal): void {
  if (!aborted) globalThis.gc?.();
}

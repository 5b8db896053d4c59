import { Writable } from 'node:stream';
import { StoredCheckpoint } from '@dormouse/checkpoint';
import type { BlobStore } from '@dormouse/storage';
import { ChunkFetcher } from '../serve/chunk-fetcher';
import { Chunks } from '../serve/chunks';
import { GuestMemory } from '../serve/guest-memory';
import { PageAnswers } from '../serve/page-answers';
import { PageStream } from '../serve/page-stream';
import { WakeFeed } from '../serve/wake-feed';
import { WakeRecord } from '../serve/wake-record';
import type { MadeUpSave } from './warm-up-capture';

/**
 * The page map of a large desktop is read in few calls that take long, in which the engine would first have to notice that they are
 * worth compiling.
 */
const mapReadings = 20;
/** A guest wants some pages and not others. */
const askedEvery = 6;

/**
 * Sends the wake set of a checkpoint to nobody, and answers requests for the rest.
 * @param signal leave it: there is real work
 */
export async function warmUpWake(
  store: BlobStore,
  { identity, keys, hasher }: MadeUpSave,
  signal: AbortSignal,
): Promise<void> {
  const found = await StoredCheckpoint.find(store, identity, keys.dataKey);
  const wakePack = found.wakePack();
  await found.checkSizes();
  for (let before = 1; before < mapReadings && !signal.aborted; before++) await found.pages(keys);
  const checkpoint = await found.pages(keys);
  const chunks = new Chunks(checkpoint);
  const fetcher = new ChunkFetcher(checkpoint, chunks, () => undefined);
  const memory = new GuestMemory(found.manifest.blocks);
  const stream = new PageStream(memory, new Writable({ write: (_chunk, _encoding, done) => done() }));
  const feed = new WakeFeed(wakePack, await wakePack.head());
  await feed.beforeRunning(stream);
  await feed.afterRunning(stream);
  const answers = new PageAnswers(Promise.resolve({ checkpoint, chunks, fetcher, hasher }), stream, new WakeRecord());
  for (let page = 0; page < memory.pages && !signal.aborted; page += askedEvery) {
    await answers.answer({ first: page, end: page + 1 });
  }
}

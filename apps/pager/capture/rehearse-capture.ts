import { randomBytes, randomUUID } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { CheckpointWriter, HashThreads, keyBytes, pageBytes, SealThread } from '@dormouse/checkpoint';
import { encode, RamPart } from '@dormouse/migration-stream';
import type { BlobStore } from '@dormouse/storage';
import type { PageThreads } from '../page-threads';
import { StreamMemory } from './stream-memory';

/** Enough for the engine to compile what a save does with each page. */
const block = { name: 'pc.ram', bytes: 32 * 1024 * 1024 };
const partPages = 256;
/** What a socket gives at once. */
const pieceBytes = 64 * 1024;

/**
 * Saves a little made-up memory to nowhere, on the threads of the save that may come. So the engine compiles a save's program
 * while nobody waits for it, and not in the middle of one: there it is a quarter of a second of processor time.
 * @param signal leave it: there is real work
 */
export async function rehearseCapture({ hash, seal }: PageThreads, signal: AbortSignal): Promise<void> {
  const key = (): Buffer => randomBytes(keyBytes);
  const contentKey = key();
  const keys = { contentKey, dataKey: { keyId: randomUUID(), key: key() } };
  const hasher = new HashThreads(contentKey, hash);
  let sealer: SealThread | null = null;
  const memory = new StreamMemory(hasher, (blocks) => {
    const identity = { desktopId: 'rehearsal', checkpointId: randomUUID() };
    const options = { keys, hasher, sealer: (packKey: Uint8Array) => (sealer = new SealThread(packKey, seal)) };
    return new CheckpointWriter(nowhere, identity, blocks, options);
  });
  for (const part of stream()) {
    if (signal.aborted) break;
    for (let at = 0; at < part.length;) {
      const copied = part.copy(memory.room(), 0, at, Math.min(at + pieceBytes, part.length));
      memory.filled(copied);
      at += copied;
    }
    await (memory.writer?.saturated === true ? memory.writer.drained() : setImmediate());
  }
  await memory.writer?.abort();
  hasher.release();
  (sealer as SealThread | null)?.release();
}

/** Pages of zeros, pages that are all the same, and pages like no other. */
function* stream(): Generator<Buffer> {
  yield Buffer.concat([encode.preamble(Buffer.alloc(8)), encode.ramStart([block])]);
  const page = Buffer.alloc(pageBytes, 'what a guest remembers; ');
  for (let first = 0; first < block.bytes / pageBytes; first += partPages) {
    const part = new RamPart(partPages * (pageBytes + 16));
    for (let index = first; index < first + partPages; index++) {
      page.writeUInt32LE(index % 3 === 0 ? 0 : index, 8);
      if (index % 8 === 0) part.addZeroPage(block, index);
      else part.addPage(block, index, page, 0);
    }
    yield part.finish();
  }
}

/** Takes everything and keeps nothing. */
const nowhere: BlobStore = {
  create: () =>
    Promise.resolve({
      write: () => Promise.resolve(),
      commit: () => Promise.resolve(),
      abort: () => Promise.resolve(),
    }),
  read: () => Promise.reject(new Error('there is nothing to read')),
  stat: () => Promise.reject(new Error('there is nothing to look at')),
  list: async function* () {},
  delete: () => Promise.resolve(),
  availableBytes: () => Promise.resolve(null),
  close: () => Promise.resolve(),
};

import { setImmediate } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';
import {
  CheckpointWriter,
  pageBytes,
  SealThread,
  type CheckpointIdentity,
  type PageHasher,
  type ReadingKeys,
} from '@dormouse/checkpoint';
import { encode, RamPart } from '@dormouse/migration-stream';
import type { BlobStore } from '@dormouse/storage';
import { StreamMemory } from '../capture/stream-memory';

/** Enough for the engine to compile what a save does with each page. */
const block = { name: 'pc.ram', bytes: 16 * 1024 * 1024 };
const partPages = 64;
/** What a socket gives at once. */
const pieceBytes = 64 * 1024;
/** Pages that the wake is to send ahead. */
const wakeSet = Uint32Array.from({ length: 1024 }, (_, n) => n);

export interface MadeUpSave {
  readonly identity: CheckpointIdentity;
  readonly keys: ReadingKeys;
  readonly hasher: PageHasher;
  /** The thread that seals. */
  readonly seal: Worker;
}

/**
 * Saves a little made-up memory, the way the memory of a guest is saved.
 * @param signal leave it: there is real work
 * @returns whether there is a checkpoint now
 */
export async function warmUpCapture(
  store: BlobStore,
  { identity, keys, hasher, seal }: MadeUpSave,
  signal: AbortSignal,
): Promise<boolean> {
  let sealer: SealThread | null = null;
  const memory = new StreamMemory(
    hasher,
    (blocks) =>
      new CheckpointWriter(store, identity, blocks, {
        keys,
        hasher,
        sealer: (packKey) => (sealer = new SealThread(packKey, seal)),
        wakeSet: {
          candidates: wakeSet,
          choose: () => ({
            pages: wakeSet,
            ranksMs: new Uint32Array(wakeSet.length),
            onTrial: 0,
            workingSet: Buffer.alloc(0),
          }),
        },
      }),
  );
  for (const part of stream()) {
    if (signal.aborted) break;
    for (let at = 0; at < part.length;) {
      const copied = part.copy(memory.room(), 0, at, Math.min(at + pieceBytes, part.length));
      memory.filled(copied);
      at += copied;
    }
    await (memory.writer?.saturated === true ? memory.writer.drained() : setImmediate());
  }
  const { writer } = memory;
  const isWhole = writer?.missing === 0;
  if (isWhole) await writer.catchUp();
  if (isWhole) await writer.commit(await writer.seal(machineState, machine));
  else await writer?.abort();
  (sealer as SealThread | null)?.release();
  return isWhole;
}

const machineState = { configuration: Buffer.alloc(8), deviceState: Buffer.alloc(8) };
const machine = { fingerprint: {}, diskGeneration: null, createdAt: new Date(0).toISOString() };

/** Pages of zeros, pages that are all the same, and pages like no other. */
function* stream(): Generator<Buffer> {
  yield Buffer.concat([encode.preamble(machineState.configuration), encode.ramStart([block])]);
  const page = Buffer.alloc(pageBytes, 'what a guest remembers; ');
  for (let first = 0; first < block.bytes / pageBytes; first += partPages) {
    const part = new RamPart(Buffer.allocUnsafe(partPages * (pageBytes + 16)));
    for (let index = first; index < first + partPages; index++) {
      page.writeUInt32LE(index % 3 === 0 ? 0 : index, 8);
      if (index % 8 === 0) part.addZeroPage(block, index);
      else part.addPage(block, index, page, 0);
    }
    yield part.finish();
  }
}

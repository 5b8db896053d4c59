import { setImmediate as immediate, setTimeout as sleep } from 'node:timers/promises';
import { pageBytes, pageKind, type CheckpointReader } from '@dormouse/checkpoint';
import { isDormouseError } from '@dormouse/errors';
import { windowBlocks, type Chunks } from './chunks';

/**
 * Chunks read together when one of them is asked for: a disk takes hardly longer for 256 KiB than for 64, and what lies
 * beside a page that is wanted is often wanted next.
 */
const runChunks = 4;
/** Runs kept for the next request: 16 MiB. */
const runsKept = 64;
/** Waits between attempts to read from a store that does not answer. */
const firstRetryMs = 100;
const longestRetryMs = 5_000;

/** Chunks that were read together. */
interface Run {
  open(chunk: number): Buffer;
}

/** Reads chunks for whoever wants them: one read for a chunk however many ask, tried again until the store answers. */
export class ChunkFetcher {
  /** Read or being read, by their first chunk; the oldest goes first. */
  private readonly runs = new Map<number, Promise<Run>>();

  constructor(
    private readonly checkpoint: CheckpointReader,
    private readonly chunks: Chunks,
    private readonly onWaiting: (reason: string | null) => void,
  ) {}

  /** The content of a chunk, for a guest that waits. @throws CHECKPOINT_CORRUPT, CHECKPOINT_INCOMPLETE */
  async fetch(chunk: number): Promise<Buffer> {
    const run = await this.runAround(chunk);
    return run.open(chunk);
  }

  /** The contents of chunks that lie one after the other, without hurry. */
  async fetchAll(first: number, count: number): Promise<Buffer[]> {
    const run = await this.untilRead(first, count);
    const contents: Buffer[] = [];
    for (let chunk = first; chunk < first + count; chunk++) {
      contents.push(run.open(chunk));
      await immediate(); // a request that has come goes first
    }
    return contents;
  }

  /**
   * Where a page of the chunk begins in its content.
   * @throws DISK_SOURCE_CHANGED when a disk block is not what the page was
   */
  placeIn(page: number, content: Buffer): number {
    const { map } = this.checkpoint;
    if (map.kindOf(page) === pageKind.frame) return map.slotOf(page) * pageBytes;
    const at = (map.blockOf(page) % windowBlocks) * pageBytes;
    this.checkpoint.checkDiskPage(page, content, at);
    return at;
  }

  private runAround(chunk: number): Promise<Run> {
    const base = chunk < this.chunks.frames ? 0 : this.chunks.frames;
    const first = chunk - ((chunk - base) % runChunks);
    const known = this.runs.get(first);
    const count = this.chunks.runLength(this.checkpoint, first, runChunks);
    // A run ends where the next chunk lies elsewhere; one behind that end is read from itself on.
    if (first + count <= chunk) return this.untilRead(chunk, 1);
    if (known !== undefined) return known;
    const run = this.untilRead(first, count);
    this.runs.set(first, run);
    if (this.runs.size > runsKept) this.runs.delete(this.runs.keys().next().value!);
    run.catch(() => this.runs.delete(first)); // whoever asked hears of it
    return run;
  }

  private async untilRead(first: number, count: number): Promise<Run> {
    for (let waitMs = firstRetryMs; ; waitMs = Math.min(waitMs * 2, longestRetryMs)) {
      try {
        const run = await this.read(first, count);
        if (waitMs > firstRetryMs) this.onWaiting(null);
        return run;
      } catch (error) {
        // A store that does not answer may come back, and the guest can wait; damage stays.
        if (!isDormouseError(error, 'STORAGE_FAILED')) throw error;
        this.onWaiting(error.message);
        await sleep(waitMs);
      }
    }
  }

  private async read(first: number, count: number): Promise<Run> {
    if (first < this.chunks.frames) return this.checkpoint.readRun(first, count);
    const { source, first: block } = this.chunks.windowAt(first);
    const content = await this.checkpoint.readBlocks(source, block, count * windowBlocks);
    return {
      open: (chunk) => {
        const at = (chunk - first) * windowBlocks * pageBytes;
        return content.subarray(at, at + windowBlocks * pageBytes);
      },
    };
  }
}

import { setTimeout as sleep } from 'node:timers/promises';
import {
  consecutive,
  frameBytes,
  pageBytes,
  pageHashBytes,
  type CheckpointReader,
  type PageHasher,
} from '@dormouse/checkpoint';
import { isDormouseError } from '@dormouse/errors';
import { windowBlocks, type Chunks } from './chunks';
import { planReadAhead } from './read-ahead-plan';

/**
 * Chunks read together when one of them is asked for: a disk takes hardly longer for 256 KiB than for 64, and what lies
 * beside a page that is wanted is often wanted next.
 */
const runChunks = 4;
/** Of the runs that were asked for last so much is kept, as it is stored: a guest that wakes comes back to where it has been. */
const mostKeptBytes = 16 * 1024 * 1024;
/** Of the checkpoint, kept as it is stored until it is wanted. */
const mostReadAheadBytes = 36 * 1024 * 1024;
/** Waits between attempts to read from a store that does not answer. */
const firstRetryMs = 100;
const longestRetryMs = 5_000;

/** A chunk in memory. */
export interface FetchedChunk {
  readonly content: Buffer;
  /**
   * Where one of its pages begins in the content.
   * @throws DISK_SOURCE_CHANGED, DISK_SOURCE_MISSING when a disk block is not what the page was
   */
  readonly placeOf: (page: number) => number;
}

/** Chunks in memory as they are stored: opened one by one, they take little more room than that. */
export interface FetchedRange {
  /** @throws CHECKPOINT_CORRUPT */
  open(chunk: number): FetchedChunk;
}

/** Chunks that were read together. */
interface Run extends FetchedRange {
  /** As they are stored. */
  readonly bytes: number;
}

/** A run that somebody has asked for. */
interface KeptRun {
  readonly run: Promise<Run>;
  /** 0 until it has been read. */
  bytes: number;
}

/** A run that nobody has asked for yet. */
interface ReadAhead {
  readonly run: Promise<Run>;
  isThere: boolean;
}

/** Memory for what is read without hurry, and where it is hashed meanwhile. */
export interface Workshop {
  readonly hasher: PageHasher;
  /** From the hasher, for as many chunks as are ever read together. */
  readonly memory: Buffer;
}

/** Reads chunks for whoever wants them: one read for a chunk however many ask, tried again until the store answers. */
export class ChunkFetcher {
  /** Read or being read, by their first chunk; what was asked for longest ago goes first. */
  private readonly runs = new Map<number, KeptRun>();
  /** Of those that were read. */
  private keptBytes = 0;
  /** Frames that were read, or are being read, before anybody has asked for them. */
  private readonly ahead = new Map<number, ReadAhead>();
  /** Those of them that the last read without hurry brought. */
  private filling: readonly number[] = [];

  constructor(
    private readonly checkpoint: CheckpointReader,
    private readonly chunks: Chunks,
    private readonly onWaiting: (reason: string | null) => void,
  ) {}

  /** A chunk, for a guest that waits. @throws CHECKPOINT_CORRUPT, CHECKPOINT_INCOMPLETE */
  async fetch(chunk: number): Promise<FetchedChunk> {
    return (await this.soonest(chunk)).open(chunk);
  }

  /** The other chunks that are there, or can be, once this one is. */
  readWith(chunk: number): number[] {
    const { first, count } = this.runOf(chunk);
    return Array.from({ length: count }, (_, n) => first + n).filter((other) => other !== chunk);
  }

  /** Begins to read what is stored behind a chunk and what was read with it, for a guest that goes on there. */
  readBehind(chunk: number): void {
    const { first, count } = this.runOf(chunk);
    const next = first + count;
    const { frames } = this.checkpoint;
    if (next >= frames.length || frames.packOf(next) !== frames.packOf(chunk) || this.ahead.has(next)) return;
    void this.runAround(next); // whoever asks for it hears of a failure
  }

  /**
   * Reads frames before they are asked for, as many as are worth keeping: a store that is far away takes as long for a large piece as
   * for a small one, and a guest that wakes asks for one page after the other.
   * @param wanted as for `planReadAhead`
   * @throws CHECKPOINT_CORRUPT, CHECKPOINT_INCOMPLETE
   */
  async readAhead(wanted: Iterable<number> | null, stop: AbortSignal): Promise<void> {
    let keptBytes = 0;
    let before: Promise<Run> | null = null; // two are on their way at a time
    for (const { first, count } of planReadAhead(this.checkpoint, wanted)) {
      if (keptBytes >= mostReadAheadBytes || stop.aborted) break;
      const run = this.untilRead(() => this.readFrames(first, count));
      this.setAhead(
        Array.from({ length: count }, (_, n) => first + n),
        run,
      );
      keptBytes += (await before)?.bytes ?? 0;
      before = run;
    }
    await before;
  }

  /** Of chunks that lie one after the other, how many are to be fetched together: what has been read is not read again. */
  alike(first: number, count: number): number {
    const isAhead = this.ahead.has(first);
    let next = first + 1;
    while (next < first + count && this.ahead.has(next) === isAhead) next++;
    return next - first;
  }

  /**
   * Chunks that lie one after the other and are `alike`, without hurry. What stands on disk is hashed on another thread.
   * @param workshop its memory holds them until it is used again
   * @param leastBytes of frames, read together at least: who goes on fetching behind them finds the others read
   */
  async fetchAll(first: number, count: number, workshop: Workshop, leastBytes = 0): Promise<FetchedRange> {
    if (first >= this.chunks.frames) return this.untilRead(() => this.readWindows(first, count, workshop));
    if (!this.ahead.has(first)) this.readFill(first, count, leastBytes);
    const runs = await Promise.all(this.takeAhead(first, count));
    return { open: (chunk) => runs[chunk - first]!.open(chunk) };
  }

  /** What was read so before and not fetched is not kept. */
  private readFill(first: number, count: number, leastBytes: number): void {
    for (const chunk of this.filling) this.ahead.delete(chunk);
    const behind = this.checkpoint.runLength(first, this.chunks.frames - first, leastBytes);
    const together = this.alike(first, Math.max(count, behind));
    const run = this.untilRead(() => this.readFrames(first, together));
    this.filling = Array.from({ length: together }, (_, n) => first + n);
    this.setAhead(this.filling, run);
  }

  private setAhead(chunks: readonly number[], run: Promise<Run>): void {
    const ahead = { run, isThere: false };
    run.then(
      () => (ahead.isThere = true),
      () => undefined, // met in its turn, and by whoever asks for one of its chunks
    );
    for (const chunk of chunks) this.ahead.set(chunk, ahead);
  }

  /** One run for each of the chunks, which is kept no longer. */
  private takeAhead(first: number, count: number): Promise<Run>[] {
    const runs: Promise<Run>[] = [];
    for (let chunk = first; chunk < first + count; chunk++) {
      runs.push(this.ahead.get(chunk)!.run);
      this.ahead.delete(chunk);
    }
    return runs;
  }

  /** A run ends where the next chunk lies elsewhere; one behind that end is read alone. */
  private runOf(chunk: number): { readonly first: number; readonly count: number } {
    const base = chunk < this.chunks.frames ? 0 : this.chunks.frames;
    const first = chunk - ((chunk - base) % runChunks);
    const count =
      first < this.chunks.frames
        ? this.checkpoint.runLength(first, runChunks)
        : this.chunks.windowsFrom(first, runChunks);
    return first + count <= chunk ? { first: chunk, count: 1 } : { first, count };
  }

  /** What is read ahead is large, and may be on its way for longer than a guest should wait: a little is read by itself then. */
  private soonest(chunk: number): Promise<Run> {
    const ahead = this.ahead.get(chunk);
    if (ahead === undefined) return this.runAround(chunk);
    return ahead.isThere ? ahead.run : Promise.race([ahead.run, this.runAround(chunk)]);
  }

  private runAround(chunk: number): Promise<Run> {
    const { first, count } = this.runOf(chunk);
    const known = this.runs.get(first);
    if (known !== undefined) {
      this.runs.delete(first); // it is the last one now
      this.runs.set(first, known);
      return known.run;
    }
    const kept = { run: this.untilRead(() => this.read(first, count)), bytes: 0 };
    this.runs.set(first, kept);
    kept.run.then(
      ({ bytes }) => this.keep(kept, bytes),
      () => this.runs.delete(first), // whoever asked hears of it
    );
    return kept.run;
  }

  /** Now that it has been read. What was asked for longest ago makes room. */
  private keep(kept: KeptRun, bytes: number): void {
    kept.bytes = bytes;
    this.keptBytes += bytes;
    for (const [first, oldest] of this.runs) {
      if (this.keptBytes <= mostKeptBytes) break;
      if (oldest.bytes === 0) continue; // on its way
      this.runs.delete(first);
      this.keptBytes -= oldest.bytes;
    }
  }

  private async untilRead<T>(read: () => Promise<T>): Promise<T> {
    for (let waitMs = firstRetryMs; ; waitMs = Math.min(waitMs * 2, longestRetryMs)) {
      try {
        const result = await read();
        if (waitMs > firstRetryMs) this.onWaiting(null);
        return result;
      } catch (error) {
        // A store that does not answer may come back, and the guest can wait; damage stays.
        if (!isDormouseError(error, 'STORAGE_FAILED')) throw error;
        this.onWaiting(error.message);
        await sleep(waitMs);
      }
    }
  }

  private read(first: number, count: number): Promise<Run> {
    return first < this.chunks.frames ? this.readFrames(first, count) : this.readWindows(first, count, null);
  }

  private async readFrames(first: number, count: number): Promise<Run> {
    const { map } = this.checkpoint;
    const run = await this.checkpoint.readRun(first, count);
    const placeOf = (page: number): number => map.slotOf(page) * pageBytes;
    return { bytes: run.bytes, open: (chunk) => ({ content: run.open(chunk), placeOf }) };
  }

  /** Each page is checked where it is wanted; in a workshop all have been hashed by then. */
  private async readWindows(first: number, count: number, workshop: Workshop | null): Promise<Run> {
    const { map } = this.checkpoint;
    const { source, first: block } = this.chunks.windowAt(first);
    const into = workshop?.memory.subarray(0, count * frameBytes);
    const content = await this.checkpoint.readBlocks(source, block, count * windowBlocks, into);
    const whole = Math.floor(content.length / pageBytes);
    const hashes = (await workshop?.hasher.hash(workshop.memory, consecutive(whole))) ?? Buffer.alloc(0);
    return {
      bytes: content.length,
      open: (chunk) => {
        const n = chunk - first;
        const window = content.subarray(n * frameBytes, (n + 1) * frameBytes);
        const placeOf = (page: number): number => {
          const slot = map.blockOf(page) % windowBlocks;
          const at = (n * windowBlocks + slot) * pageHashBytes;
          const isKnown = at < hashes.length && map.hasTag(page, hashes, at);
          if (!isKnown) this.checkpoint.checkDiskPage(page, window, slot * pageBytes);
          return slot * pageBytes;
        };
        return { content: window, placeOf };
      },
    };
  }
}

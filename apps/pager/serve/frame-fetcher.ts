import { setTimeout as sleep } from 'node:timers/promises';
import { framePages, pageKind, type CheckpointReader, type FrameRun } from '@dormouse/checkpoint';
import { isDormouseError } from '@dormouse/errors';

/**
 * Frames read together when one of them is asked for: a disk takes hardly longer for 256 KiB than for 64, and what lies
 * beside a page that is wanted is often wanted next.
 */
const runFrames = 4;
/** Runs kept for the next request: 16 MiB. */
const runsKept = 64;
/** Waits between attempts to read from a store that does not answer. */
const firstRetryMs = 100;
const longestRetryMs = 5_000;
const deadSlot = 0xffffffff;

/** Reads frames for whoever wants them: one read for a frame however many ask, tried again until the store answers. */
export class FrameFetcher {
  /** Read or being read, by their first frame; the oldest goes first. */
  private readonly runs = new Map<number, Promise<FrameRun>>();
  /** Guest page in each slot of each frame; a slot whose page was overtaken by a later copy is dead. */
  private readonly pageOfSlot: Uint32Array;

  constructor(
    private readonly checkpoint: CheckpointReader,
    private readonly onWaiting: (reason: string | null) => void,
  ) {
    const { map, frames } = checkpoint;
    this.pageOfSlot = new Uint32Array(frames.length * framePages).fill(deadSlot);
    for (let page = 0; page < map.pages; page++) {
      if (map.kindOf(page) === pageKind.frame)
        this.pageOfSlot[map.frameOf(page) * framePages + map.slotOf(page)] = page;
    }
  }

  eachLivePage(frame: number, visit: (page: number, slot: number) => void): void {
    for (let slot = 0; slot < framePages; slot++) {
      const page = this.pageOfSlot[frame * framePages + slot]!;
      if (page !== deadSlot) visit(page, slot);
    }
  }

  anyLive(frame: number, count: number, wanted: (page: number) => boolean): boolean {
    const slots = this.pageOfSlot.subarray(frame * framePages, (frame + count) * framePages);
    return slots.some((page) => page !== deadSlot && wanted(page));
  }

  /** The pages of a frame, for a guest that waits. @throws CHECKPOINT_CORRUPT, CHECKPOINT_INCOMPLETE */
  async fetch(frame: number): Promise<Buffer> {
    const run = await this.runAround(frame);
    return run.decodeNow(frame);
  }

  /** The pages of frames that lie one after the other, without hurry. */
  async fetchAll(first: number, count: number): Promise<Buffer[]> {
    const run = await this.untilRead(first, count);
    return Promise.all(Array.from({ length: count }, (_, n) => run.decode(first + n)));
  }

  private runAround(frame: number): Promise<FrameRun> {
    const first = frame - (frame % runFrames);
    const known = this.runs.get(first);
    if (known !== undefined) return known;
    // A run ends with its pack; a frame behind that end is read from itself on.
    const count = this.checkpoint.runLength(first, runFrames);
    if (first + count <= frame) return this.untilRead(frame, 1);
    const run = this.untilRead(first, count);
    this.runs.set(first, run);
    if (this.runs.size > runsKept) this.runs.delete(this.runs.keys().next().value!);
    run.catch(() => this.runs.delete(first)); // whoever asked hears of it
    return run;
  }

  private async untilRead(first: number, count: number): Promise<FrameRun> {
    for (let waitMs = firstRetryMs; ; waitMs = Math.min(waitMs * 2, longestRetryMs)) {
      try {
        const run = await this.checkpoint.readRun(first, count);
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
}

import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeTrace, type StoredCheckpoint, type WakeHead } from '@dormouse/checkpoint';
import { describeError } from '@dormouse/errors';
import { processRecord, type ServeJob, type ServeStatus, type WakeManner } from '@dormouse/pager-control';
import { processStat, recordedProcess } from '@dormouse/process';
import type { BlobStore } from '@dormouse/storage';
import { askBlockedTime } from './blocked-time';
import { GuestMemory, type PageRange } from './guest-memory';
import { Hydration } from './hydration';
import { PageAnswers, type StoredMemory } from './page-answers';
import { PageStream } from './page-stream';
import { PostcopySource } from './postcopy-source';
import { ProcessorWatch } from './processor-watch';
import { WakeFeed } from './wake-feed';
import { WakeRecord } from './wake-record';

/** Pages between two reports of how far it is. */
const progressEveryPages = 4096;

/** What a wake is given. */
export interface WakingParts {
  readonly job: ServeJob;
  readonly store: BlobStore;
  readonly found: StoredCheckpoint;
  /** Rejects when the checkpoint cannot be read. */
  readonly memory: Promise<StoredMemory>;
  readonly manner: WakeManner;
  readonly update: (change: Partial<ServeStatus>) => void;
  /** The guest has woken: what comes now has time. */
  readonly onRested: () => void;
}

/** Gives a guest its memory: what it will want first, then what it asks for, then all the rest. */
export class Waking {
  private readonly stream: PageStream;
  private readonly source: PostcopySource;
  private readonly record = new WakeRecord();
  private readonly answers: PageAnswers;
  private feed: WakeFeed | null = null;
  /** Earlier wakes have shown what the guest wants. */
  private knowsWanted = false;
  private fail: (error: Error) => void = () => undefined;
  private readonly failed: Promise<never>;
  private readonly beganAt = new Date();
  private readonly beganMs = performance.now();
  private runningMs: number | null = null;
  private reportedPages = 0;
  private readonly rested = new AbortController();

  constructor(
    private readonly parts: WakingParts,
    socket: Socket,
  ) {
    const memory = new GuestMemory(parts.found.manifest.blocks);
    this.failed = new Promise<never>((_, reject) => (this.fail = reject));
    this.failed.catch(() => undefined); // raced below
    this.stream = new PageStream(memory, socket);
    this.answers = new PageAnswers(parts.memory, this.stream, this.record, (page) => this.feed?.inHand(page) ?? null);
    this.source = new PostcopySource(memory, socket, this.stream, (pages) => this.answer(pages));
  }

  /**
   * From nothing to a machine that runs and has all of its memory.
   * @throws MIGRATION_FAILED when QEMU goes away, or what the checkpoint cannot be read for
   */
  async wake(feed: WakeFeed, head: WakeHead, checked: Promise<void>): Promise<void> {
    this.feed = feed;
    this.knowsWanted = head.ranksMs.some((rankMs) => rankMs > 0);
    if (this.knowsWanted) this.answers.expectTaking();
    this.parts.update({ state: 'loading' });
    await this.unlessFailed(
      (async () => {
        this.source.begin(head);
        if (this.parts.manner.wakeSet) await feed.beforeRunning(this.stream);
        await checked;
        const running = this.source.run(head);
        const fed = this.parts.manner.wakeSet ? feed.afterRunning(this.stream) : Promise.resolve();
        fed.catch(() => undefined); // met below
        await running;
        // Not before: QEMU needs the processors, and what is wanted first is in the wake set.
        void this.readAhead(this.knowsWanted ? head.pages : null);
        this.runningMs = Math.round(performance.now() - this.beganMs);
        this.record.running();
        this.parts.update({ state: 'running' });
        await fed;
        await this.complete();
      })(),
    );
  }

  /** Goes on with a machine whose pager died. @throws as `wake` */
  async resume(): Promise<void> {
    await this.unlessFailed(
      (async () => {
        await this.source.resume();
        this.parts.update({ state: 'running' });
        void this.readAhead(null);
        await this.complete();
      })(),
    );
  }

  private async complete(): Promise<void> {
    const { manner, update, onRested } = this.parts;
    const memory = await this.parts.memory;
    await this.untilRested();
    this.rested.abort();
    onRested();
    const touched = this.answers.withCompanions();
    await new Hydration(memory, this.stream, this.answers, manner.fill, () => this.report(), touched).run();
    await this.source.end();
    const hydratedMs = Math.round(this.record.elapsedMs);
    await this.keepTrace(hydratedMs);
    update({
      state: 'hydrated',
      sentPages: this.stream.sentPages,
      pageRequests: this.answers.requests,
      hydratedMs,
    });
  }

  /** While QEMU starts and the guest wakes. Never rejects: what could not be read is met by whoever needs it. */
  private async readAhead(wanted: Iterable<number> | null): Promise<void> {
    const fetcher = this.parts.memory.then((memory) => memory.fetcher);
    await fetcher.then((one) => one.readAhead(wanted, this.rested.signal)).catch(() => undefined);
  }

  /**
   * A guest that was sent what it wants may ask for nothing for a while, and be far from what its user waits for: at work it does not
   * rest. One of which nothing is known asks for as long as it works.
   */
  private async untilRested(): Promise<void> {
    const { restMs, longestMs } = this.parts.manner;
    const qemu = this.knowsWanted ? await recordedProcess(processRecord('qemu')) : null;
    const processors = new ProcessorWatch(() => (qemu && processStat(qemu.pid)?.usedMs) ?? null);
    const lastActiveMs = (): number => Math.max(this.answers.lastRequestMs, processors.lastBusyMs);
    const restsFor = (): number => Math.min(performance.now() - lastActiveMs(), this.record.elapsedMs);
    while (restsFor() < restMs && this.record.ranMs < longestMs) await sleep(10);
  }

  /** What was learned is worth a line in the log, not a guest. */
  private async keepTrace(hydratedMs: number): Promise<void> {
    const { store, job, found } = this.parts;
    const { ahead, beforeRunning } = this.feed?.sentAhead() ?? { ahead: new Uint32Array(0), beforeRunning: 0 };
    const blocked = await askBlockedTime();
    try {
      await writeTrace(store, job, found.secrets.dataKey, {
        operationId: job.operationId,
        startedAt: this.beganAt.toISOString(),
        runningMs: this.runningMs,
        hydratedMs,
        blocked,
        ahead,
        beforeRunning,
        requests: this.record.requests(),
      });
    } catch (error) {
      process.stderr.write(`what this wake has shown could not be kept: ${describeError(error).message}\n`);
    }
  }

  private answer(pages: PageRange): void {
    this.answers.answer(pages).catch(this.fail);
  }

  private report(): void {
    const { sentPages } = this.stream;
    if (sentPages - this.reportedPages < progressEveryPages) return;
    this.reportedPages = sentPages;
    this.parts.update({ sentPages, pageRequests: this.answers.requests });
  }

  private async unlessFailed(work: Promise<void>): Promise<void> {
    await Promise.race([work, this.failed, this.source.failed]);
  }
}

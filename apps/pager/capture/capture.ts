import { EventEmitter, once } from 'node:events';
import { chmodSync, existsSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import {
  CheckpointWriter,
  HashThreads,
  pageBytes,
  PreviousCheckpoint,
  SealThread,
  type SealedCheckpoint,
} from '@dormouse/checkpoint';
import { ContentIndex } from '@dormouse/content-index';
import { describeError, DormouseError } from '@dormouse/errors';
import { timedOut } from '@dormouse/limits';
import type { MigrationStreamReader } from '@dormouse/migration-stream';
import {
  ControlServer,
  pagerSockets,
  type CaptureJob,
  type CaptureStatus,
  type PagerCommand,
} from '@dormouse/pager-control';
import { unlessAborted } from '@dormouse/process';
import { socketFolder } from '@dormouse/qemu';
import type { BlobStore } from '@dormouse/storage';
import { decodeKeys } from '../keys';
import type { PageThreads } from '../page-threads';
import { DiskContents } from './disk-contents';
import { FreezeGuard } from './freeze-guard';
import { GarbageWatch } from './garbage-watch';
import { readThrough } from './read-through';
import { StreamMemory } from './stream-memory';
import { WakeLearning } from './wake-learning';

/** Of what a guest is writing to while it is saved so much is of interest for the wake set: 4 MiB. */
const mostRewritten = 1_024;
const progressEveryBytes = 16 * 1024 * 1024;
/**
 * With so many pages still to come the store catches up: 2 MiB. Once they all have come it would be too late, QEMU is two hundred KiB
 * ahead of us and stops the guest at once. It cannot be, with so many missing: last come the blocks of the firmware, which are no zeros.
 */
const lastPages = 512;
/** A worker that started us and never called has died. */
const workerPatienceMs = 15_000;

/** Runs a save from QEMU's first byte to the manifest, or to an abort that leaves nothing behind. */
export async function capture(
  job: CaptureJob,
  openStore: () => Promise<BlobStore>,
  threads: PageThreads,
): Promise<void> {
  const store = await openStore();
  try {
    await new Capture(job, store, threads).run();
  } finally {
    await store.close();
  }
}

class Capture {
  private readonly control: ControlServer<CaptureStatus>;
  private writer: CheckpointWriter | null = null;
  private readonly commands = new EventEmitter();
  private readonly abort = new AbortController();
  private readonly keys;
  private readonly hasher;
  private sealer: SealThread | null = null;
  private disks: DiskContents | null = null;
  private guard: FreezeGuard | null = null;

  constructor(
    private readonly job: CaptureJob,
    private readonly store: BlobStore,
    private readonly threads: PageThreads,
  ) {
    const status: CaptureStatus = {
      mode: 'capture',
      operationId: job.operationId,
      state: 'listening',
      error: null,
      peakRssBytes: 0,
      streamBytes: 0,
      arrivedBytes: 0,
      ramBytes: 0,
      storedBytes: 0,
      rawBytes: 0,
      mapBytes: 0,
      wakePackBytes: 0,
      pages: null,
    };
    this.keys = decodeKeys(job.keys);
    this.hasher = new HashThreads(this.keys.contentKey, threads.hash);
    this.control = new ControlServer(
      status,
      (command) => this.obey(command),
      // The worker is gone: the guest must not stay frozen for a save nobody leads any more. If the checkpoint exists by now,
      // whoever comes next finds that the guest has gone on since.
      () => {
        this.obey('abort');
        void this.guard?.thaw();
        this.commands.emit('leave');
      },
    );
  }

  async run(): Promise<void> {
    const server = await listen(pagerSockets.capture);
    const connection = once(server, 'connection') as Promise<[Socket]>;
    // Before the worker can begin: it begins when it can speak to us.
    this.guard = await FreezeGuard.watch(() => this.abort.abort(timedOut('freezeWithoutWorker')));
    await this.control.listen(pagerSockets.control);
    // One that is there now and leaves later is noticed when it leaves.
    setTimeout(() => this.control.alone && this.obey('abort'), workerPatienceMs).unref();
    try {
      const sealing = connection.then(([socket]) => this.receive(socket));
      const sealed = await unlessAborted(sealing, this.abort.signal);
      const commit = once(this.commands, 'commit', { signal: this.abort.signal });
      this.update({ state: 'sealed', ...factsOf(sealed) });
      await commit;
      // From here on an abort comes too late: the manifest may already stand.
      const leave = once(this.commands, 'leave');
      await this.writer!.commit(sealed);
      this.update({ state: 'committed' });
      await leave;
    } catch (error) {
      await this.giveUp(this.abort.signal.aborted ? this.abort.signal.reason : error);
    }
    await this.guard.settled();
    this.disks?.close();
    server.close();
    await this.control.close();
    await Promise.all([this.hasher.close(), this.sealer?.close()]);
  }

  /** Reads QEMU's stream to its end and makes it durable. */
  private async receive(socket: Socket): Promise<SealedCheckpoint> {
    const [previous, disks] = await Promise.all([this.loadPrevious(), this.lookAtDisks()]);
    const { keys, hasher } = this;
    const wakeSet = await WakeLearning.from(this.store, previous, keys.dataKey, this.job.wakeSetPages);
    const memory = new StreamMemory(hasher, (blocks) => {
      this.update({ state: 'receiving', ramBytes: blocks.reduce((sum, block) => sum + block.bytes, 0) });
      return (this.writer = new CheckpointWriter(this.store, identityOf(this.job), blocks, {
        keys,
        hasher,
        sealer: (packKey) => (this.sealer = new SealThread(packKey, this.threads.seal)),
        disks,
        previous,
        wakeSet,
        mostRewritten,
      }));
    });
    const { stream } = memory;
    const garbage = new GarbageWatch();
    let reported = 0;
    let caughtUp = false;
    let allCame = false;
    const afterwards = (): Promise<void> | null => {
      const { writer } = this;
      if (writer === null) return null;
      if (!caughtUp && writer.missing <= lastPages) {
        caughtUp = true;
        return writer.catchUp(); // QEMU waits for us, and its guest runs on
      }
      const cameNow = !allCame && writer.missing === 0;
      if (cameNow || stream.bytesRead - reported >= progressEveryBytes) {
        allCame = writer.missing === 0;
        reported = stream.bytesRead;
        garbage.look();
        this.update(this.progress(stream)); // told that every page has come, the worker has QEMU stop the guest
      }
      return writer.saturated ? writer.drained() : null;
    };
    // Called off, QEMU must not go on waiting for us to read: with its device state it waits in its main loop, and its guest stands still.
    await readThrough(socket, memory, afterwards, this.abort.signal);
    const { configuration, deviceState } = stream.finish();
    this.update(this.progress(stream));
    return this.writer!.seal(
      { configuration, deviceState },
      {
        fingerprint: this.job.fingerprint,
        diskGeneration: this.job.diskGeneration,
        createdAt: new Date().toISOString(),
      },
    );
  }

  private progress({ bytesRead }: MigrationStreamReader): Pick<CaptureStatus, 'streamBytes' | 'arrivedBytes'> {
    return { streamBytes: bytesRead, arrivedBytes: (this.writer?.arrived ?? 0) * pageBytes };
  }

  /** An index that cannot be read is no reason not to save. */
  private async lookAtDisks(): Promise<DiskContents> {
    const { disks, imageIndexes, diskGeneration } = this.job;
    const { contentKey } = this.keys;
    const indexes = imageIndexes.map((file, disk) =>
      ContentIndex.load(file, { image: disks.images[disk]!, contentKey }).catch((error: unknown) => {
        process.stderr.write(`the index of an image is of no use to this save: ${describeError(error).message}\n`);
        return null;
      }),
    );
    this.disks = new DiskContents(disks, await Promise.all(indexes), diskGeneration);
    await this.disks.scanLayers(this.hasher);
    return this.disks;
  }

  /** A previous checkpoint that cannot be read is no reason not to write the next. */
  private async loadPrevious(): Promise<PreviousCheckpoint | null> {
    const { desktopId, previousCheckpointId, keptGenerations } = this.job;
    if (previousCheckpointId === null) return null;
    const kept = new Set(keptGenerations);
    const keepsLayer = (source: string): boolean => kept.has(source.slice(0, source.indexOf('/')));
    try {
      const identity = { desktopId, checkpointId: previousCheckpointId };
      return await PreviousCheckpoint.load(this.store, identity, this.keys.dataKey, keepsLayer);
    } catch (error) {
      process.stderr.write(`the previous checkpoint is of no use to this save: ${describeError(error).message}\n`);
      return null;
    }
  }

  /** Leaves the guest running and the store as it was, and says why. */
  private async giveUp(error: unknown): Promise<void> {
    const wanted = error instanceof DormouseError && error.code === 'CANCELLED';
    if (!wanted) process.stderr.write(`capture given up: ${error instanceof Error ? error.stack : String(error)}\n`);
    try {
      if (this.control.alone) await this.guard?.thaw();
    } finally {
      await this.clearUp();
    }
    this.update({ state: wanted ? 'aborted' : 'failed', error: describeError(error) });
  }

  /** A storage that fails a save may fail this too. No manifest names what is left, and a later sweep removes it. */
  private async clearUp(): Promise<void> {
    try {
      await this.writer?.abort();
    } catch (error) {
      process.stderr.write(`what was stored could not be removed: ${describeError(error).message}\n`);
    }
  }

  private obey(command: PagerCommand['command']): void {
    if (command === 'abort') return this.abort.abort(new DormouseError('CANCELLED', 'the save was given up'));
    if (command === 'leave') this.guard?.disarm();
    this.commands.emit(command);
  }

  private update(change: Partial<CaptureStatus>): void {
    this.control.update({ ...change, peakRssBytes: process.resourceUsage().maxRSS * 1024 });
  }
}

async function listen(path: string): Promise<Server> {
  rmSync(path, { force: true });
  const server = createServer({ pauseOnConnect: true }); // as `readThrough` wants it
  server.listen(path);
  await once(server, 'listening');
  // A QEMU with a user of its own; nobody else comes into the run directory.
  if (existsSync(socketFolder)) chmodSync(path, 0o666);
  return server;
}

function identityOf({ desktopId, checkpointId }: CaptureJob): { desktopId: string; checkpointId: string } {
  return { desktopId, checkpointId };
}

function factsOf({ manifest }: SealedCheckpoint): Partial<CaptureStatus> {
  const { pages, bytes, pageMap, knownPages, wakePack, wakePages } = manifest;
  return {
    storedBytes: bytes.written,
    rawBytes: bytes.raw,
    mapBytes: pageMap.bytes + knownPages.bytes,
    wakePackBytes: wakePack.bytes + (wakePages?.bytes ?? 0),
    pages: { ...pages },
  };
}

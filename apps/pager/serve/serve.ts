import { setTimeout as sleep } from 'node:timers/promises';
import {
  countPages,
  HashThreads,
  readWakeSetStarts,
  StoredCheckpoint,
  type PageHasher,
  type ReadingKeys,
} from '@dormouse/checkpoint';
import { describeError } from '@dormouse/errors';
import { ControlServer, pagerSockets, type ServeJob, type ServeStatus } from '@dormouse/pager-control';
import { socketIn } from '@dormouse/qemu';
import { hurry } from '@dormouse/process';
import type { BlobStore } from '@dormouse/storage';
import { DiskFileBlocks } from '../disk-files';
import { decodeKeys } from '../keys';
import type { PageThreads } from '../page-threads';
import { ChunkFetcher } from './chunk-fetcher';
import { Chunks } from './chunks';
import { compileLater } from './compile-later';
import { connectToQemu } from './connect-to-qemu';
import { restoreEagerly } from './eager-restore';
import type { StoredMemory } from './page-answers';
import { WakeFeed } from './wake-feed';
import { usualManner } from './wake-manner';
import { Waking } from './waking';

/** After the end, how long to stay for a worker that wants to read the last status. */
const farewellMs = 2_000;

/** Wakes a machine from a checkpoint and stays until all of its memory is there. */
export async function serve(job: ServeJob, openStore: () => Promise<BlobStore>, threads: PageThreads): Promise<void> {
  void threads.seal.terminate(); // a wake seals nothing
  const status: ServeStatus = {
    mode: 'serve',
    operationId: job.operationId,
    state: 'opening',
    error: null,
    peakRssBytes: 0,
    totalPages: 0,
    sentPages: 0,
    pageRequests: 0,
    hydratedMs: null,
    waitingForStorage: null,
  };
  let leave = (): void => undefined;
  const left = new Promise<void>((resolve) => (leave = resolve));
  // A worker that goes away changes nothing: the guest needs its pages, and the successor finds us by the socket.
  // For the same reason no command ends the work before it is done; whoever gives the guest up ends its QEMU, and us.
  const control = new ControlServer(
    status,
    (command) => {
      if (command === 'leave' && ['hydrated', 'failed'].includes(control.current.state)) leave();
    },
    () => undefined,
  );
  const update = (change: Partial<ServeStatus>): void =>
    control.update({ ...change, peakRssBytes: process.resourceUsage().maxRSS * 1024 });
  await control.listen(pagerSockets.control);
  // A guest that waits for a page has no use for a processor, and others should not keep us from one.
  const untilRested = job.how === 'eager' ? [] : [hurry(), compileLater()];
  const onRested = (): void => untilRested.forEach((end) => end());
  const incoming = socketIn('.', pagerSockets.incoming);
  try {
    const connecting = job.how === 'resume' ? null : connectToQemu(incoming); // at the same time as the checkpoint is read
    connecting?.catch(() => undefined); // looked at below, unless the checkpoint fails first
    const store = await openStore();
    const disks = new DiskFileBlocks(job.disks);
    const keys = decodeKeys(job.keys);
    const hasher = new HashThreads(keys.contentKey, threads.hash);
    const finding = StoredCheckpoint.find(store, job, keys.dataKey);
    const starts = connecting === null ? null : readWakeSetStarts(store, job);
    const found = await finding;
    const wakePack = starts && found.wakePack(starts);
    // While QEMU still starts: to decode the page map keeps the loop busy, and QEMU waiting once it has come.
    const memory = readMemory(found, { keys, hasher, disks }, (reason) => update({ waitingForStorage: reason }));
    memory.catch(() => undefined); // met by the first who needs a page of it
    const checked = found.checkSizes();
    checked.catch(() => undefined); // met before the guest runs
    update({ state: 'connecting', totalPages: countPages(found.manifest.blocks) });
    const parts = { job, store, found, memory, manner: { ...usualManner, ...job.manner }, update, onRested };
    if (connecting === null || wakePack === null) {
      // QEMU 7.2 ends when a pager dies between connecting and having it go on (docs/qemu.md): that time is kept short.
      await memory;
      await new Waking(parts, await connectToQemu(incoming)).resume();
    } else if (job.how === 'eager') {
      await checked;
      await restoreEagerly(parts, await connecting, await wakePack.head());
    } else {
      const head = await wakePack.head();
      const feed = new WakeFeed(wakePack, head);
      await new Waking(parts, await connecting).wake(feed, head, checked);
    }
    await Promise.all([store.close(), disks.close(), hasher.close()]);
  } catch (error) {
    process.stderr.write(`serve failed: ${error instanceof Error ? error.stack : String(error)}\n`);
    update({ state: 'failed', error: describeError(error) });
  }
  await Promise.race([left, sleep(farewellMs)]);
  await control.close();
}

/** What pages are answered from; the way to the running guest does not wait for it. */
async function readMemory(
  found: StoredCheckpoint,
  { keys, hasher, disks }: { keys: ReadingKeys; hasher: PageHasher; disks: DiskFileBlocks },
  onWaiting: (reason: string | null) => void,
): Promise<StoredMemory> {
  const checkpoint = await found.pages(keys, disks);
  const chunks = new Chunks(checkpoint);
  return { checkpoint, chunks, fetcher: new ChunkFetcher(checkpoint, chunks, onWaiting), hasher };
}

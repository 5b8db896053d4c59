import { execFile } from 'node:child_process';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { CheckpointView } from '@dormouse/views';
import { bucket, s3Url, startS3Server } from '../contract/s3-server';
import type { GuestImage } from '../guest';
import { leaveAndStop, migrateTo, migrateToFile, RunningDormouse, type Desk } from '../scenario';
import { figure, type Figure } from './figure';
import { enlargeImage } from './large-image';
import { startLink } from './start-link';
import { net, throttleToFile } from './throttle';
import { usedDesktop } from './used-desktop';

export interface SaveOptions {
  readonly dataDir: string;
  readonly image: GuestImage;
  readonly memoryMiB: number;
  /** Random memory the guest holds besides what its use has left. */
  readonly fillMiB: number;
  /** The golden image is made as large as this; 0 leaves it as it is. */
  readonly imageGiB: number;
  readonly runs: number;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

/** Times in milliseconds. */
interface Save {
  /** From the broker's webhook to the checkpoint being committed. */
  readonly durableMs: number;
  /** QEMU's own migration of the same state to the same place, to the last byte being on the disk. */
  readonly qemuMs: number;
  readonly frozenMs: number;
  readonly captureMs: number;
  readonly pagerRssBytes: number;
}

const poolId = 'save';
/** Seldom: each look takes processor time that the save would have. When it was durable, the ledger knows. */
const lookEveryMs = 250;

/** First saves of used desktops: each beside QEMU's own migration, to the disk and over a link. */
export async function measureSave(given: SaveOptions): Promise<Figure[]> {
  const options = given.imageGiB > 0 ? await withLargeImage(given) : given;
  const local = await onDisk(options);
  const remote = await overLink(options);
  const of = (name: string, unit: string, saves: readonly Save[], value: (save: Save) => number, digits = 0): Figure =>
    figure(name, unit, saves.map(value), digits);
  const all = [...local, ...remote];
  return [
    of('durableMs', 'ms', local, (save) => save.durableMs),
    of('qemuFileMs', 'ms', local, (save) => save.qemuMs),
    of('durableToQemu', '', local, (save) => save.durableMs / save.qemuMs, 2),
    of('netDurableMs', 'ms', remote, (save) => save.durableMs),
    of('netQemuFileMs', 'ms', remote, (save) => save.qemuMs),
    of('netDurableToQemu', '', remote, (save) => save.durableMs / save.qemuMs, 2),
    of('captureMs', 'ms', local, (save) => save.captureMs),
    of('frozenMs', 'ms', all, (save) => save.frozenMs),
    of('pagerRssBytes', 'B', all, (save) => save.pagerRssBytes),
  ];
}

async function withLargeImage(options: SaveOptions): Promise<SaveOptions> {
  const goldenImage = join(options.dataDir, 'large.img');
  await mkdir(options.dataDir, { recursive: true });
  options.say(`making a golden image of ${options.imageGiB} GiB`);
  await enlargeImage(options.image.goldenImage, goldenImage, options.imageGiB);
  return { ...options, image: { ...options.image, goldenImage } };
}

async function onDisk(options: SaveOptions): Promise<Save[]> {
  const dormouse = await RunningDormouse.start(join(options.dataDir, 'local'));
  try {
    const streamFile = join(dormouse.dataDir, 'own-stream');
    return await firstSaves(dormouse, options, 'on the disk', async (desk) => {
      await migrateToFile(desk.runDirectory, streamFile);
      const file = await open(streamFile);
      await file.sync();
      await file.close();
      return streamFile;
    });
  } finally {
    await dormouse.stop();
  }
}

async function overLink(options: SaveOptions): Promise<Save[]> {
  const directory = join(options.dataDir, 'bucket');
  const s3 = await startS3Server(directory);
  const store = await startLink(s3.port);
  const environment = { ...process.env, STORAGE_URL: s3Url(store.port) };
  const dormouse = await RunningDormouse.start(join(options.dataDir, 'net'), environment);
  try {
    const streamFile = join(directory, bucket, 'own-stream');
    return await firstSaves(dormouse, options, 'over the link', async (desk) => {
      const sink = await throttleToFile(streamFile, net);
      await migrateTo(desk.runDirectory, `tcp:127.0.0.1:${sink.port}`);
      await sink.durable;
      await sink.close();
      return streamFile;
    });
  } finally {
    await dormouse.stop();
    await store.close();
    await s3.stop();
  }
}

/** Neither side is to wait for what was written before it. */
async function nothingToWrite(): Promise<void> {
  await promisify(execFile)('sync');
}

/** @param migrate has QEMU write its own stream, and resolves with its file when that is durable */
async function firstSaves(
  dormouse: RunningDormouse,
  options: SaveOptions,
  where: string,
  migrate: (desk: Desk) => Promise<string>,
): Promise<Save[]> {
  const saves: Save[] = [];
  while (saves.length < options.runs) {
    options.signal.throwIfAborted();
    await dormouse.api.putPool(poolId, { graceMs: 0, keepCheckpoints: 1 });
    const { desk, guest } = await usedDesktop(dormouse, { ...options, id: `save-${saves.length + 1}`, poolId });
    if (options.fillMiB > 0) await guest.fill(options.fillMiB);
    guest.close();
    const save = await firstSave(dormouse, desk, migrate);
    options.say(
      `run ${saves.length + 1} ${where}: durable after ${save.durableMs} ms, QEMU's own file after ${save.qemuMs} ms; ` +
        `frozen for ${save.frozenMs} ms`,
    );
    saves.push(save);
    await desk.broker('reconnected');
    await desk.until(({ operation, state }) => operation === null && state === 'running');
    await leaveAndStop(dormouse, desk, poolId);
    await dormouse.api.deleteDesktop(desk.id);
  }
  return saves;
}

async function firstSave(
  dormouse: RunningDormouse,
  desk: Desk,
  migrate: (desk: Desk) => Promise<string>,
): Promise<Save> {
  await nothingToWrite();
  const migratedFromMs = performance.now();
  const streamFile = await migrate(desk);
  const qemuMs = performance.now() - migratedFromMs;
  await nothingToWrite();
  const leftAtMs = Date.now();
  await desk.broker('disconnected');
  while ((await desk.view()).state !== 'saved') await sleep(lookEveryMs);
  const { value: checkpoint } = (await dormouse.api.checkpoints(desk.id).next()) as IteratorResult<
    CheckpointView,
    undefined
  >;
  const durableMs = Date.parse(checkpoint!.durableAt!) - leftAtMs;
  await rm(streamFile); // before, the disk would still be freeing its blocks
  const { frozenMs, captureMs, pagerPeakRssBytes } = (await desk.latest('save')).result as Record<string, number>;
  return {
    durableMs,
    qemuMs: Math.round(qemuMs),
    frozenMs: frozenMs!,
    captureMs: captureMs!,
    pagerRssBytes: pagerPeakRssBytes!,
  };
}

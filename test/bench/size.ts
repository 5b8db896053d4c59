import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { GuestImage } from '../guest';
import { leaveAndStop, RunningDormouse, writeOwnStream, type Desk } from '../scenario';
import { figure, type Figure } from './figure';
import { usedDesktop } from './used-desktop';

export interface SizeOptions {
  readonly dataDir: string;
  readonly image: GuestImage;
  readonly memoryMiB: number;
  readonly runs: number;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

/** Where the bytes of the memory went; all in bytes. `storedRaw` is what became `storedCompressed`. */
export interface Split {
  readonly zero: number;
  readonly previous: number;
  readonly disk: number;
  readonly duplicate: number;
  readonly storedRaw: number;
  readonly storedCompressed: number;
}

interface SavedFacts {
  readonly checkpointId: string;
  readonly ramBytes: number;
  readonly storedBytes: number;
  readonly rawBytes: number;
  readonly mapBytes: number;
  readonly wakePackBytes: number;
  readonly pages: Readonly<Record<'zero' | 'previous' | 'disk' | 'duplicate', number>>;
}

interface Run {
  readonly streamBytes: number;
  readonly saves: readonly SavedFacts[];
  readonly mapAndManifestBytes: number;
}

const pageBytes = 4096;
const poolId = 'size';
/** The user looks at the desktop for a moment and leaves again. */
const idleMs = 10_000;

/** A used desktop sleeps, wakes, idles and sleeps again, `runs` times from its first boot on. */
export async function measureSize(options: SizeOptions): Promise<{ figures: Figure[]; split: [Split, Split] }> {
  const { say, signal } = options;
  const dormouse = await RunningDormouse.start(options.dataDir);
  try {
    const runs: Run[] = [];
    while (runs.length < options.runs) {
      signal.throwIfAborted();
      runs.push(await sleepTwice(dormouse, `size-${runs.length + 1}`, options));
      const [first, second] = runs.at(-1)!.saves;
      say(`run ${runs.length}: ${percentOf(first!)} % of the memory stored, ${percentOf(second!)} % the second time`);
    }
    const splits = ([0, 1] as const).map((save) => medianSplit(runs.map(({ saves }) => saves[save]!)));
    return { figures: summarize(runs), split: [splits[0]!, splits[1]!] };
  } finally {
    await dormouse.stop();
  }
}

async function sleepTwice(dormouse: RunningDormouse, id: string, options: SizeOptions): Promise<Run> {
  await dormouse.api.putPool(poolId, { graceMs: 0, keepCheckpoints: 2 });
  const { desk, guest } = await usedDesktop(dormouse, { ...options, id, poolId });
  guest.close();
  const streamFile = join(dormouse.dataDir, 'own-stream');
  const { bytes: streamBytes } = await writeOwnStream(desk.runDirectory, streamFile);
  await rm(streamFile);
  const first = await leave(desk);
  const mapAndManifestBytes = first.mapBytes + (await manifestBytes(dormouse.dataDir, id, first));
  await desk.broker('reconnected');
  await desk.until(({ operation, state }) => operation === null && state === 'running');
  await sleep(idleMs);
  const second = await leave(desk);
  await desk.broker('reconnected');
  await desk.until(({ operation, state }) => operation === null && state === 'running');
  await leaveAndStop(dormouse, desk, poolId);
  await dormouse.api.deleteDesktop(desk.id);
  return { streamBytes, saves: [first, second], mapAndManifestBytes };
}

async function leave(desk: Desk): Promise<SavedFacts> {
  await desk.broker('disconnected');
  await desk.until((desktop) => desktop.state === 'saved');
  return (await desk.latest('save')).result as unknown as SavedFacts;
}

async function manifestBytes(dataDir: string, desktopId: string, { checkpointId }: SavedFacts): Promise<number> {
  const path = join(dataDir, 'storage/desktops', desktopId, 'checkpoints', checkpointId, 'manifest');
  return (await stat(path)).size;
}

function summarize(runs: readonly Run[]): Figure[] {
  const of = (name: string, unit: string, value: (run: Run) => number, digits = 0): Figure =>
    figure(name, unit, runs.map(value), digits);
  const [first, second] = [0, 1].map((save) => (run: Run) => run.saves[save]!) as [Of, Of];
  return [
    of('ramBytes', 'B', (run) => first(run).ramBytes),
    of('firstSaveBytes', 'B', (run) => first(run).storedBytes),
    of('secondSaveBytes', 'B', (run) => second(run).storedBytes),
    of('mapAndManifestBytes', 'B', (run) => run.mapAndManifestBytes),
    of('qemuStreamBytes', 'B', (run) => run.streamBytes),
    of('firstSavePercent', '%', (run) => percentOf(first(run)), 2),
    of('secondSavePercent', '%', (run) => percentOf(second(run)), 2),
    of('mapAndManifestPercent', '%', (run) => (100 * run.mapAndManifestBytes) / first(run).ramBytes, 2),
    of('qemuStreamPercent', '%', (run) => (100 * run.streamBytes) / first(run).ramBytes, 2),
  ];
}

type Of = (run: Run) => SavedFacts;

function percentOf({ storedBytes, ramBytes }: SavedFacts): number {
  return Number(((100 * storedBytes) / ramBytes).toFixed(2));
}

function medianSplit(saves: readonly SavedFacts[]): Split {
  const median = (name: keyof Split, of: (save: SavedFacts) => number): [keyof Split, number] => [
    name,
    figure(name, 'B', saves.map(of), 0).median,
  ];
  return Object.fromEntries([
    ...(['zero', 'previous', 'disk', 'duplicate'] as const).map((kind) =>
      median(kind, ({ pages }) => pages[kind] * pageBytes),
    ),
    median('storedRaw', ({ rawBytes }) => rawBytes),
    median('storedCompressed', ({ storedBytes, mapBytes, wakePackBytes }) => storedBytes - mapBytes - wakePackBytes),
  ]) as unknown as Split;
}

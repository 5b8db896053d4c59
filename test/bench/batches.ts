import { join } from 'node:path';
import { socketNames } from '@dormouse/qemu';
import { runInGuest, type GuestImage } from '../guest';
import { Desk, dropPageCache, guestLaunchSpec, leaveAndStop, RunningDormouse } from '../scenario';
import { figure, type Figure } from './figure';
import { lastTrace } from './last-trace';
import { withStorage, type Profile } from './profile';

export interface BatchesOptions {
  readonly dataDir: string;
  readonly image: GuestImage;
  readonly memoryMiB: number;
  readonly fillMiB: number;
  readonly runs: number;
  readonly profile: Profile;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

/** Chunks of 64 KiB in a batch of the background fill: while the guest faults, and while it rests. */
const batches = {
  small: { least: 1, most: 1 },
  large: { least: 64, most: 64 },
  adaptive: { least: 1, most: 64 },
} as const;
type Batches = keyof typeof batches;

/** The fill begins at once and nothing is sent ahead: what the guest waits for is then up to the fill alone. */
const onlyTheFill = { wakeSet: false, restMs: 0, longestMs: 0 };
const poolId = 'batches';

/** One wake, in milliseconds. */
interface Wake {
  /** All waits for pages together, and how long 99 % of them are at most. */
  readonly stallMs: number;
  readonly stallP99Ms: number;
  /** The same by QEMU's clock: until the page is in its place. */
  readonly blockedMs: number;
  readonly requests: number;
  readonly hydratedMs: number;
}

/** Wakes a guest that works and rests by turns, its memory filled in by small batches, by large ones, and by such as adapt. */
export async function measureBatches(
  options: BatchesOptions,
): Promise<{ figures: Figure[]; more: Record<string, unknown> }> {
  const { profile, dataDir, image, memoryMiB, fillMiB, runs, signal, say } = options;
  const wakes: Record<Batches, Wake[]> = { small: [], large: [], adaptive: [] };
  await withStorage(profile, dataDir, async (environment) => {
    const startWith = (name: Batches): Promise<RunningDormouse> =>
      RunningDormouse.start(join(dataDir, profile, 'data'), {
        ...environment,
        WAKE_MANNER: JSON.stringify({ ...onlyTheFill, fill: batches[name] }),
      });
    let dormouse = await startWith('small');
    try {
      await dormouse.api.putPool(poolId, { graceMs: 3_600_000, keepCheckpoints: 2 });
      const desk = new Desk(dormouse, 'batches');
      await desk.register({ ...guestLaunchSpec(image, memoryMiB), readiness: 'agent' }, poolId);
      await desk.start();
      const guest = await desk.guest();
      await guest.ping({ timeoutMs: 120_000 });
      await guest.fill(fillMiB);
      guest.close();
      for (let run = 1; run <= runs; run++) {
        for (const name of Object.keys(batches) as Batches[]) {
          signal.throwIfAborted();
          await desk.does('save');
          await dormouse.stop();
          dormouse = await startWith(name);
          desk.goOnIn(dormouse);
          const wake = await wakeAndWork(desk, fillMiB);
          wakes[name].push(wake);
          say(
            `run ${run}, ${name}: waited ${wake.stallMs} ms (${wake.blockedMs} ms by QEMU's clock) for ${wake.requests} pages, all there after ${wake.hydratedMs} ms`,
          );
        }
      }
      await leaveAndStop(dormouse, desk, poolId);
    } finally {
      await dormouse.stop();
    }
  });
  return summarize(wakes);
}

async function wakeAndWork(desk: Desk, fillMiB: number): Promise<Wake> {
  const { checkpointId } = await desk.view();
  await dropPageCache([desk.home.dataDir]);
  const { id } = await desk.home.api.command(desk.id, 'restore', { reason: 'its memory is to come' });
  await desk.until(({ state, operation }) => state === 'hydrating' || operation === null);
  const work = runInGuest(desk.runDirectory.file(socketNames.agent), worker(fillMiB));
  const { status, error } = await desk.ended(id);
  if (status !== 'succeeded') throw new Error(`the restore has ${status}: ${error?.message}`);
  await work;
  const { stalls, blocked, requests, hydratedMs } = await lastTrace(desk, checkpointId!);
  const stallMs = Math.round(stalls.together);
  return { stallMs, stallP99Ms: stalls.p99, blockedMs: blocked?.allMs ?? NaN, requests, hydratedMs };
}

/** In each wake the same pages of the filled memory, some at a time, with rests: longer than the memory takes to come. */
function worker(fillMiB: number): string {
  return [
    'x=1; bursts=0',
    'while [ $((bursts += 1)) -le 20 ]; do reads=0',
    'while [ $((reads += 1)) -le 25 ]; do x=$(((x * 1103515245 + 12345) & 2147483647))',
    `dd if=/mem/filled of=/dev/null bs=4096 count=1 skip=$(((x >> 8) % ${fillMiB * 256})) 2>/dev/null`,
    'done; sleep 0.15; done',
  ].join('\n');
}

function summarize(wakes: Readonly<Record<Batches, readonly Wake[]>>): {
  figures: Figure[];
  more: Record<string, unknown>;
} {
  const of = (name: Batches, what: keyof Wake, unit: string, digits = 0): Figure =>
    figure(
      `${name}.${what}`,
      unit,
      wakes[name].map((wake) => wake[what]),
      digits,
    );
  const each = (Object.keys(batches) as Batches[]).map((name) => ({
    stall: of(name, 'stallMs', 'ms'),
    p99: of(name, 'stallP99Ms', 'ms', 2),
    blocked: of(name, 'blockedMs', 'ms'),
    requests: of(name, 'requests', ''),
    hydrated: of(name, 'hydratedMs', 'ms'),
  }));
  const [small, large, adaptive] = each;
  return {
    figures: each.flatMap((one) => Object.values(one)),
    more: {
      stallToSmall: Number((adaptive!.stall.median / small!.stall.median).toFixed(2)),
      blockedToSmall: Number((adaptive!.blocked.median / small!.blocked.median).toFixed(2)),
      hydratedToLarge: Number((adaptive!.hydrated.median / large!.hydrated.median).toFixed(2)),
    },
  };
}

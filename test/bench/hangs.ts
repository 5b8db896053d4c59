import { join } from 'node:path';
import { S3Gate, s3Url, startS3Server } from '../contract/s3-server';
import type { GuestImage } from '../guest';
import { Desk, guestLaunchSpec, RunningDormouse } from '../scenario';
import {
  filledMiB,
  hang,
  hangCases,
  sleepsAndWakes,
  type HangDesk,
  type HangOutcome,
  type HangWorld,
} from '../scenario/hang';
import { memoryOf } from '../scenario/test-bed';
import type { Figure } from './figure';

export interface HangsOptions {
  readonly dataDir: string;
  readonly image: GuestImage;
  readonly memoryMiB: number;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
  /** Only the cases whose name, `NEIGHBOUR at MOMENT`, holds this. */
  readonly part: string;
}

/** Longer than a frozen guest may wait for anybody. */
const holdMs = 15_000;
/** The longest limits of docs/limits.md that an operation meets one after the other, and a loaded machine. */
const endsWithinMs = 120_000;
const manner = JSON.stringify({ restMs: 6_000, longestMs: 12_000, wakeSet: false });

/** Every neighbour hangs at every moment of every operation, one after the other. */
export async function measureHangs(
  options: HangsOptions,
): Promise<{ figures: Figure[]; more: Record<string, unknown> }> {
  const { dataDir, image, memoryMiB, signal, say, part } = options;
  const s3 = await startS3Server(join(dataDir, 'bucket'));
  const gate = await S3Gate.open(s3.port);
  const dormouse = await RunningDormouse.start(join(dataDir, 'dormouse'), {
    ...process.env,
    API_PORT: '0',
    STORAGE_URL: s3Url(gate.port),
    HOST_SLOTS: '2/2',
    WAKE_MANNER: manner,
  });
  try {
    await dormouse.api.putPool('default', { graceMs: 3_600_000, keepCheckpoints: 2 });
    const newDesk = async (id: string): Promise<HangDesk> => {
      const desk = new Desk(dormouse, id);
      await desk.register(guestLaunchSpec(image, memoryMiB));
      await desk.start();
      const guest = await desk.guest();
      await guest.ping({ timeoutMs: 120_000 });
      await guest.fill(filledMiB);
      return { desk, guest, memory: await memoryOf(guest) };
    };
    const [victim, other] = [await newDesk('victim'), await newDesk('other')];
    const undisturbedMs = await sleepsAndWakes(other, 0);
    const world: HangWorld = { dormouse, gate, victim, other, holdMs, endsWithinMs, undisturbedMs };
    const found: (HangOutcome & { name: string })[] = [];
    for (const { neighbour, moment } of hangCases()) {
      const name = `${neighbour} at ${moment}`;
      if (!name.includes(part)) continue;
      signal.throwIfAborted();
      const outcome = await hang(world, neighbour, moment).catch((error: unknown) => neverEnded(error));
      found.push({ name, ...outcome });
      say(`${new Date().toISOString()} ${name.padEnd(28)} ${sentence(outcome)}`);
    }
    return { figures: [], more: summary(found) };
  } finally {
    await dormouse.stop();
    await gate.close();
    await s3.stop();
  }
}

/** A case that does not come to its end says so, and those after it are tried. */
function neverEnded(error: unknown): HangOutcome {
  return {
    status: 'active',
    errorCode: String(error),
    endedMs: 0,
    endedInTime: false,
    guestFrozenMs: 0,
    guestWaitedMs: 0,
    othersDelayedMs: 0,
    intact: false,
  };
}

function sentence(outcome: HangOutcome): string {
  const { status, errorCode, endedMs, guestFrozenMs, guestWaitedMs, othersDelayedMs, intact } = outcome;
  const why = errorCode === null ? '' : ` (${errorCode})`;
  const memory = intact ? '' : ', its memory is NOT as it was';
  return `${status}${why} after ${endedMs} ms, guest still for ${guestFrozenMs + guestWaitedMs} ms, others ${othersDelayedMs} ms${memory}`;
}

function summary(found: readonly (HangOutcome & { name: string })[]): Record<string, unknown> {
  const worst = (figure: (outcome: HangOutcome) => number): number => Math.max(0, ...found.map(figure));
  return {
    cases: found.length,
    endedInTime: found.filter(({ endedInTime }) => endedInTime).length,
    intact: found.filter(({ intact }) => intact).length,
    guestFrozenWorstMs: worst(({ guestFrozenMs }) => guestFrozenMs),
    guestWaitedWorstMs: worst(({ guestWaitedMs }) => guestWaitedMs),
    othersDelayedWorstMs: worst(({ othersDelayedMs }) => othersDelayedMs),
    each: found,
  };
}

import { setTimeout as sleep } from 'node:timers/promises';
import { socketNames } from '@dormouse/qemu';
import { runInGuest, type GuestImage } from '../guest';
import { Desk, guestLaunchSpec, RunningDormouse, sendSignal, watchGuest } from '../scenario';
import { memoryOf, type Memory } from '../scenario/test-bed';
import { figure, type Figure } from './figure';

export interface KillsOptions {
  readonly dataDir: string;
  readonly image: GuestImage;
  readonly memoryMiB: number;
  readonly fillMiB: number;
  /** Desktops. */
  readonly runs: number;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

/** One wake whose pager was killed. */
interface Kill {
  /** After the guest ran, of the time that its memory takes to come when nothing happens. */
  readonly share: number;
  readonly alive: boolean;
  readonly identical: boolean;
  /** The longest that the guest, by its own clock, waited for a page of its memory, or left a question unanswered. */
  readonly stallMs: number;
}

const poolId = 'kills';
const bootPatienceMs = 120_000;

/** Wakes desktop after desktop, and kills its pager at a random moment. One is awake at a time: what it waits for is its own. */
export async function measureKills(
  options: KillsOptions,
): Promise<{ figures: Figure[]; more: Record<string, unknown> }> {
  const { dataDir, runs, fillMiB, signal, say } = options;
  const dormouse = await RunningDormouse.start(dataDir);
  try {
    await dormouse.api.putPool(poolId, { graceMs: 3_600_000, keepCheckpoints: 2 });
    const kills: Kill[] = [];
    let hydratesInMs = 0;
    while (kills.length < runs) {
      const desk = new Desk(dormouse, `kills-${kills.length + 1}`);
      const memory = await asleep(desk, options);
      if (kills.length === 0) {
        hydratesInMs = await undisturbed(desk);
        say(`without a kill the memory is there ${hydratesInMs} ms after the guest runs`);
      }
      const wake = { hydratesInMs, memory, fillMiB };
      let kill = await wakeAndKill(desk, wake);
      while (kill === null) {
        signal.throwIfAborted();
        say(`${desk.id}: its memory was there before its pager could be killed; once more`);
        await desk.does('save');
        kill = await wakeAndKill(desk, wake);
      }
      kills.push(kill);
      const is = kill.alive && kill.identical ? 'alive, its memory as it was' : 'NOT as it should be';
      say(`${desk.id}, after ${percent(kill.share)} of that time: ${is}, stood still for ${kill.stallMs} ms`);
      await desk.does('stop');
    }
    return summarize(kills, hydratesInMs);
  } finally {
    await dormouse.stop();
  }
}

/** A new desktop, its memory filled, and saved. */
async function asleep(desk: Desk, { image, memoryMiB, fillMiB }: KillsOptions): Promise<Memory> {
  await desk.register({ ...guestLaunchSpec(image, memoryMiB), readiness: 'agent' }, poolId);
  await desk.start();
  const guest = await desk.guest();
  await guest.ping({ timeoutMs: bootPatienceMs });
  await guest.fill(fillMiB);
  const memory = await memoryOf(guest);
  guest.close();
  await desk.does('save');
  return memory;
}

async function undisturbed(desk: Desk): Promise<number> {
  await desk.does('restore');
  const { result } = await desk.latest('restore');
  await desk.does('save');
  return Number(result!['hydratedMs']);
}

/** Of a saved desktop. Null when the kill came too late. */
async function wakeAndKill(
  desk: Desk,
  { hydratesInMs, memory, fillMiB }: { hydratesInMs: number; memory: Memory; fillMiB: number },
): Promise<Kill | null> {
  const { id } = await desk.home.api.command(desk.id, 'restore', { reason: 'its pager is to be killed' });
  await desk.until(({ state, operation }) => state === 'hydrating' || operation === null);
  const ranMs = performance.now();
  const guest = await desk.guest();
  const watch = watchGuest(guest);
  const agent = desk.runDirectory.file(socketNames.agent);
  const reading = runInGuest(agent, reader(fillMiB));

  await sleep(Math.random() * hydratesInMs);
  const pager = await desk.runDirectory.liveProcess('pager');
  const killedMs = performance.now();
  if (pager !== null) sendSignal(pager.pid, 'SIGKILL');
  const { status, result } = await desk.ended(id);
  await watch.stop();
  const waitedMs = Number(await reading);
  const now = await memoryOf(guest);
  guest.close();
  if (status === 'succeeded' && Number(result!['pagersReplaced']) === 0) return null;
  return {
    share: (killedMs - ranMs) / hydratesInMs,
    alive: status === 'succeeded',
    identical: now.nonce === memory.nonce && now.sum === memory.sum,
    stallMs: Math.round(Math.max(waitedMs, watch.longestSilenceMs(killedMs))),
  };
}

/** How long the guest reads random pages of its filled memory: some of them have yet to come. */
const readsForMs = 6_000;

/** Reads them in the guest, and says how many milliseconds the slowest took. */
function reader(fillMiB: number): string {
  return [
    'now() { t=$EPOCHREALTIME; echo "${t%.*}${t#*.}"; }',
    `worst=0; end=$(($(now) + ${readsForMs * 1_000}))`,
    'while from=$(now); [ "$from" -lt "$end" ]; do',
    `dd if=/mem/filled of=/dev/null bs=4096 count=1 skip=$(((RANDOM * 32768 + RANDOM) % ${fillMiB * 256})) 2>/dev/null`,
    'took=$(($(now) - from)); [ "$took" -gt "$worst" ] && worst=$took',
    'done; echo $((worst / 1000))',
  ].join('\n');
}

function summarize(kills: readonly Kill[], hydratesInMs: number): { figures: Figure[]; more: Record<string, unknown> } {
  const stalls = kills.map(({ stallMs }) => stallMs);
  return {
    figures: [figure('stallMs', 'ms', stalls, 0)],
    more: {
      kills: kills.length,
      alive: kills.filter(({ alive }) => alive).length,
      identical: kills.filter(({ identical }) => identical).length,
      worstStallMs: Math.max(...stalls),
      hydratesInMs,
      shares: kills.map(({ share }) => Number(share.toFixed(2))),
    },
  };
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

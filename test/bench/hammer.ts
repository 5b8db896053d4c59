import { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { shoot, type Shot } from '../simulation/shot';

export interface Hammered {
  readonly perSecond: number;
  readonly p99Ms: number;
  /** Answers by their status. */
  readonly answers: Readonly<Record<number, number>>;
}

export interface Manner {
  /** So many are sent, counted from when each was due; default: as fast as they are answered. */
  readonly perSecond?: number;
  readonly atOnce?: number;
}

export async function hammer(
  url: string,
  shots: readonly Shot[],
  { perSecond = Infinity, atOnce = 32 }: Manner = {},
): Promise<Hammered> {
  const agent = new Agent({ keepAlive: true, maxSockets: atOnce });
  const tookMs: number[] = [];
  const answers: Record<number, number> = {};
  const begunMs = performance.now();
  let next = 0;
  async function work(): Promise<void> {
    for (let index = next++; index < shots.length; index = next++) {
      const dueMs = perSecond === Infinity ? performance.now() : begunMs + (index * 1000) / perSecond;
      if (dueMs > performance.now()) await sleep(dueMs - performance.now());
      const status = await shoot(agent, url, shots[index]!);
      tookMs.push(performance.now() - dueMs);
      answers[status] = (answers[status] ?? 0) + 1;
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work));
  const seconds = (performance.now() - begunMs) / 1000;
  agent.destroy();
  tookMs.sort((one, other) => one - other);
  return { perSecond: shots.length / seconds, p99Ms: tookMs[Math.floor(tookMs.length * 0.99)] ?? 0, answers };
}

import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Shot {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface Hammered {
  readonly perSecond: number;
  readonly p99Ms: number;
  /** Answers by their status. */
  readonly answers: Readonly<Record<number, number>>;
}

const atOnce = 32;

/** Sends all of them, so many at once: as fast as they are answered, or `perSecond` of them, counted from when each was due. */
export async function hammer(url: string, shots: readonly Shot[], perSecond = Infinity): Promise<Hammered> {
  const agent = new Agent({ keepAlive: true, maxSockets: atOnce });
  const tookMs: number[] = [];
  const answers: Record<number, number> = {};
  const begunMs = performance.now();
  let next = 0;
  async function shoot(): Promise<void> {
    for (let index = next++; index < shots.length; index = next++) {
      const dueMs = perSecond === Infinity ? performance.now() : begunMs + (index * 1000) / perSecond;
      if (dueMs > performance.now()) await sleep(dueMs - performance.now());
      const status = await post(agent, url, shots[index]!);
      tookMs.push(performance.now() - dueMs);
      answers[status] = (answers[status] ?? 0) + 1;
    }
  }
  await Promise.all(Array.from({ length: atOnce }, shoot));
  const seconds = (performance.now() - begunMs) / 1000;
  agent.destroy();
  tookMs.sort((one, other) => one - other);
  return { perSecond: shots.length / seconds, p99Ms: tookMs[Math.floor(tookMs.length * 0.99)] ?? 0, answers };
}

function post(agent: Agent, url: string, { headers, body }: Shot): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(`${url}/v1/webhooks`, { agent, method: 'POST', headers }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode ?? 0));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

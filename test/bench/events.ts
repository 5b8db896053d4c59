import { randomUUID } from 'node:crypto';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { SimulatedCloud } from '../simulation/cloud';
import { oneApi } from './one-api';
import { figure, type Figure } from './figure';
import { shotOf, type Shot } from '../simulation/shot';
import { hammer } from './hammer';

const desktops = 500;
const shotsOfARun = 3_000;
/** Each peer is hammered so many times in turn: what else the machine does then hits both. */
const turnsOfARun = 6;

/**
 * Webhooks that are verified, decided and stored, beside a bare handler that does one INSERT, on the same Postgres, which syncs
 * each commit to the disk. Users leave running desktops and return, so each webhook begins or ends a grace.
 */
export async function measureEvents({ runs, say }: { runs: number; say: (line: string) => void }): Promise<Figure[]> {
  const cloud = await SimulatedCloud.start({ ...oneApi, desktops, durable: true });
  const bare = spawn(process.execPath, [join(process.cwd(), 'dist/test/bench/bare-insert.js')], {
    env: { PATH: process.env['PATH'], DATABASE_URL: cloud.databaseUrl },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  try {
    await cloud.dataSource.query(`UPDATE desktops SET machine_state = 'running'`);
    const [message] = (await once(bare, 'message')) as [{ url: string }];
    const api = cloud.apis[0]!.url;
    const found = { bare: [] as number[], webhooks: [] as number[], p99: [] as number[] };
    await hammer(message.url, shots(cloud, 500));
    await hammer(api, shots(cloud, 1_000));
    for (let run = 1; run <= runs; run += 1) {
      const [bareRate, rate] = await inTurn([message.url, api] as const, cloud);
      const { p99Ms } = allAccepted(await hammer(api, shots(cloud, shotsOfARun), { perSecond: rate / 2 }));
      say(
        `run ${run}: bare ${Math.round(bareRate)}/s, webhooks ${Math.round(rate)}/s (${Math.round((100 * rate) / bareRate)} %), p99 at half of that ${p99Ms.toFixed(1)} ms`,
      );
      found.bare.push(bareRate);
      found.webhooks.push(rate);
      found.p99.push(p99Ms);
    }
    return [
      figure('bareInsertPerSecond', '/s', found.bare, 0),
      figure('webhooksPerSecond', '/s', found.webhooks, 0),
      figure('p99MsAtHalf', 'ms', found.p99, 1),
    ];
  } finally {
    bare.disconnect();
    await cloud.stop();
  }
}

/** @returns what each has taken a second, over all its turns */
async function inTurn<Urls extends readonly string[]>(
  urls: Urls,
  cloud: SimulatedCloud,
): Promise<{ [Peer in keyof Urls]: number }> {
  const seconds = urls.map(() => 0);
  const shotsOfATurn = shotsOfARun / turnsOfARun;
  for (let turn = 0; turn < turnsOfARun; turn += 1) {
    // All users come in one turn, and leave in the next: shots of a turn are as many as desktops.
    for (const [peer, url] of urls.entries()) {
      const { perSecond } = allAccepted(await hammer(url, shots(cloud, shotsOfATurn, turn % 2 === 1)));
      seconds[peer]! += shotsOfATurn / perSecond;
    }
  }
  return seconds.map((spent) => shotsOfARun / spent) as { [Peer in keyof Urls]: number };
}

function allAccepted<T extends { answers: Readonly<Record<number, number>> }>(hammered: T): T {
  const others = Object.keys(hammered.answers).filter((status) => status !== '202');
  if (others.length > 0) throw new Error(`not all were accepted: ${JSON.stringify(hammered.answers)}`);
  return hammered;
}

/** Each desktop's user comes, and goes, and comes; or goes first. */
function shots(cloud: SimulatedCloud, count: number, leavesFirst = false): Shot[] {
  const ids = cloud.desktopIds;
  return Array.from({ length: count }, (_, n) => {
    const left = (Math.floor(n / ids.length) % 2 === 1) !== leavesFirst;
    return sessionShot(cloud, ids[n % ids.length]!, left ? 'disconnected' : 'connected');
  });
}

export function sessionShot({ keys }: SimulatedCloud, desktopId: string, type: 'connected' | 'disconnected'): Shot {
  const id = `msg_${randomUUID()}`;
  const data = { desktopId, connectionId: 'c1', ...(type === 'disconnected' && { reason: 'user' }) };
  const event = { specversion: '1.0', id, source: 'bench', type: `vdc.session.${type}`, data };
  return shotOf(keys.webhookSecrets[0]!, id, JSON.stringify(event));
}

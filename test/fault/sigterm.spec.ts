import { randomUUID } from 'node:crypto';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readApiAddress } from '@dormouse/config';
import { eventually } from '../integration/jobs-fixture';
import { SimulatedCloud } from '../simulation/cloud';
import { shoot, shotOf } from '../simulation/shot';

jest.setTimeout(120_000);

const mostMs = 10_000;

let cloud: SimulatedCloud;
beforeAll(async () => {
  cloud = await SimulatedCloud.start({
    desktops: 4,
    hosts: 1,
    workers: 0,
    apis: 0,
    desktopMiB: 4_096,
    speed: 1, // all memory is back after ten seconds
    failureRate: 0,
    durable: false,
    graceMs: 0,
  });
});
afterAll(() => cloud.stop());

/** Without an IPC channel it is nobody's child, and obeys signals as in a container. */
function start(script: string, environment: NodeJS.ProcessEnv): ChildProcess {
  return spawn(process.execPath, [join(process.cwd(), 'dist', script)], {
    env: { ...cloud.environment, ...environment },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

/** SIGTERM, and with what status it ended after how long. */
async function terminate(child: ChildProcess): Promise<{ status: unknown; tookMs: number }> {
  const begunMs = performance.now();
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const [status] = (await ended) as unknown[];
  return { status, tookMs: performance.now() - begunMs };
}

const webhook = (desktopId: string, type: string, id: string = randomUUID()) =>
  shotOf(
    cloud.keys.webhookSecrets[0]!,
    id,
    JSON.stringify({
      specversion: '1.0',
      id,
      source: 'test',
      type: `vdc.session.${type}`,
      data: { desktopId, connectionId: 'c1' },
    }),
  );

test('an api that is told to stop answers what it has begun, takes nothing more, and loses nothing', async () => {
  const api = start('apps/api/main.js', {});
  await eventually(async () => (await readApiAddress(cloud.directory)) !== null, 60_000);
  const { url } = (await readApiAddress(cloud.directory))!;
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  const answered: string[] = [];
  let unanswered = 0;
  let over = false;
  const senders = Array.from({ length: 16 }, async (_, n) => {
    while (!over) {
      const id = randomUUID();
      const status = await shoot(agent, url, webhook(cloud.desktopIds[n % 3]!, 'idle', id)).catch(() => null);
      if (status === 202) answered.push(id);
      else unanswered += 1;
      if (status === null) await sleep(10);
    }
  });
  await eventually(() => answered.length > 100);
  const { status, tookMs } = await terminate(api);
  over = true;
  await Promise.all(senders);
  agent.destroy();
  expect(status).toBe(0);
  expect(tookMs).toBeLessThan(mostMs);
  expect(unanswered).toBeGreaterThan(0);
  const [{ count }] = await cloud.dataSource.query(
    'SELECT count(*)::int AS count FROM inbox_events WHERE webhook_id = ANY ($1)',
    [answered],
  );
  expect(count).toBe(answered.length);
  await expect(fetch(`${url}/healthz`)).rejects.toThrow();
});

test('a worker that is told to stop leaves what takes long to the next, which ends it', async () => {
  const [host] = cloud.hostIds;
  const worker = start('test/simulation/worker-process.js', cloud.simulationOf([host!]));
  await eventually(async () => (await cloud.ledger.listHosts()).some(({ alive }) => alive), 60_000);
  const woken = cloud.desktopIds[0]!;
  await cloud.ledger.request(woken, { kind: 'restore', reason: 'test', requestedBy: 'test' });
  await eventually(async () => (await cloud.ledger.viewDesktop(woken)).state === 'hydrating', 30_000);
  const { operation } = await cloud.ledger.viewDesktop(woken);

  const ended = terminate(worker);
  const late = cloud.desktopIds[1]!;
  await sleep(50);
  await cloud.ledger.request(late, { kind: 'restore', reason: 'test', requestedBy: 'test' });
  const { status, tookMs } = await ended;
  expect(status).toBe(0);
  expect(tookMs).toBeLessThan(mostMs);
  expect(await cloud.ledger.viewDesktop(woken)).toMatchObject({ state: 'hydrating', operation: { attempt: 1 } });
  expect(await cloud.ledger.viewDesktop(late)).toMatchObject({ state: 'restoring', operation: { attempt: 0 } });

  const next = start('test/simulation/worker-process.js', cloud.simulationOf([host!]));
  try {
    for (const id of [woken, late]) {
      await eventually(async () => (await cloud.ledger.viewDesktop(id)).operation === null, 60_000);
    }
  } finally {
    await terminate(next);
  }
  expect(await cloud.ledger.viewOperation(operation!.id)).toMatchObject({ status: 'succeeded' });
  expect(await cloud.violations()).toEqual([]);
});

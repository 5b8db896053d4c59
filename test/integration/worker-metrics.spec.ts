import { createServer } from 'node:net';
import { join } from 'node:path';
import { loadConfig, requireServices, type Environment } from '@dormouse/config';
import { createLogger, createMetrics } from '@dormouse/observability';
import { SimulatedHypervisor } from '@dormouse/simulation';
import { startWorker, type RunningWorker } from '../../apps/worker';
import { ApiFixture, launchSpec } from './api-fixture';
import { eventually } from './jobs-fixture';

jest.setTimeout(120_000);

const memoryMiB = 4_096;
const memoryBytes = memoryMiB * 2 ** 20;
let fixture: ApiFixture;
let worker: RunningWorker;
let failing: string | null = null;

function start(environment: Environment = {}): Promise<RunningWorker> {
  const config = requireServices(
    loadConfig({
      DATA_DIR: fixture.directory,
      DATABASE_URL: fixture.postgres.url,
      REDIS_URL: fixture.redis.socketPath,
      HOST_ID: 'host-1',
      HOST_SLOTS: '3/2',
      LOG_LEVEL: 'silent',
      ...environment,
    }),
  );
  const drive = () =>
    new SimulatedHypervisor({
      root: join(fixture.directory, 'world'),
      hostId: 'host-1',
      memoryMiB: 8_192,
      speed: 20,
      fails: (step) => step === failing,
    });
  const metrics = createMetrics('worker', { host: 'host-1' });
  return startWorker(config, createLogger('worker', config), metrics, { drive, poolSize: 5 });
}

beforeAll(async () => {
  fixture = await ApiFixture.start();
  await fixture.ledger.putPool('default', { graceMs: 0, keepCheckpoints: 2 }, 'test');
  worker = await start();
});
afterAll(async () => {
  await worker.stop();
  await fixture.stop();
});

/** The samples of the worker, by name and labels; those that every sample has are left out. */
async function samples(): Promise<Map<string, number>> {
  const text = await (await fetch(worker.metricsUrl)).text();
  const lines = text.split('\n').filter((line) => line.startsWith('dormouse_'));
  return new Map(
    lines.map((line) => {
      const [, name, value] = /^(.*) (\S+)$/.exec(line)!;
      expect(name).toContain('service="worker"');
      expect(name).toContain('host="host-1"');
      return [
        name!
          .replace(/,?(service="worker"|host="host-1")/g, '')
          .replace('{,', '{')
          .replace('{}', ''),
        Number(value),
      ];
    }),
  );
}

const becomes = (id: string, state: string) =>
  eventually(async () => (await fixture.ledger.viewDesktop(id)).state === state, 30_000);

test('what a worker has done is in its metrics: outcomes, phases, waiting, wakes, and bytes', async () => {
  await fixture.client.putDesktop('counted', { launchSpec: { ...launchSpec, memoryMiB } });
  await fixture.sendEvent({ type: 'vdc.session.connected', data: { desktopId: 'counted', connectionId: 'c1' } });
  await becomes('counted', 'running');
  await fixture.sendEvent({ type: 'vdc.session.disconnected', data: { desktopId: 'counted', connectionId: 'c1' } });
  await becomes('counted', 'saved');
  const { desktop } = await fixture.sendEvent({
    type: 'vdc.session.connect_requested',
    data: { desktopId: 'counted' },
  });
  expect(desktop).toMatchObject({ machineState: 'restoring', etaMs: null });
  await fixture.sendEvent({ type: 'vdc.session.connected', data: { desktopId: 'counted', connectionId: 'c1' } });
  await becomes('counted', 'running');

  const found = await samples();
  for (const kind of ['register', 'boot', 'save', 'restore']) {
    expect(found.get(`dormouse_operations_total{kind="${kind}",outcome="succeeded"}`)).toBe(1);
    expect(found.get(`dormouse_operation_wait_seconds_count{kind="${kind}"}`)).toBe(1);
  }
  for (const [kind, phase] of [
    ['save', 'capture'],
    ['save', 'switchover'],
    ['save', 'release'],
    ['restore', 'wake'],
    ['restore', 'hydrate'],
  ] as const) {
    expect(found.get(`dormouse_operation_phase_seconds_count{kind="${kind}",phase="${phase}"}`)).toBe(1);
  }
  expect(found.get('dormouse_wake_seconds_count')).toBe(1);
  expect(found.get('dormouse_operation_bytes_total{kind="save",what="memory"}')).toBe(memoryBytes);
  expect(found.get('dormouse_operation_bytes_total{kind="save",what="stored"}')).toBeGreaterThan(0);
  expect(found.get('dormouse_operation_bytes_total{kind="restore",what="memory"}')).toBe(memoryBytes);
  expect(found.get('dormouse_host_slots{slot="wake"}')).toBe(3);
  expect(found.get('dormouse_host_slots{slot="save"}')).toBe(2);
  expect(found.get('dormouse_host_slots_used{slot="save"}')).toBe(0);
});

test('the next wake is told what it has to expect, and shows how far it is', async () => {
  await fixture.sendEvent({ type: 'vdc.session.disconnected', data: { desktopId: 'counted', connectionId: 'c1' } });
  await becomes('counted', 'saved');
  const { desktop } = await fixture.sendEvent({
    type: 'vdc.session.connect_requested',
    data: { desktopId: 'counted' },
  });
  expect(desktop!.etaMs).toBeGreaterThan(0);
  const { operation } = await fixture.client.desktop('counted');
  expect((await fixture.client.operation(operation!.id)).eta).toMatchObject({ learnedFrom: 1, of: 'desktop' });
  await eventually(async () => (await fixture.client.operation(operation!.id)).status === 'succeeded', 30_000);
  expect(await fixture.client.operation(operation!.id)).toMatchObject({
    eta: null,
    progress: { totalBytes: memoryBytes },
    result: { memoryBytes },
  });
});

test('what is under way on the host is there while it is: its phase, and the slot it has', async () => {
  await fixture.client.putDesktop('slow', { launchSpec });
  await fixture.client.command('slow', 'start', { reason: 'test' });
  let found = new Map<string, number>();
  await eventually(async () => {
    found = await samples();
    return found.get('dormouse_host_operations{kind="boot",phase="boot",status="active"}') === 1;
  });
  expect(found.get('dormouse_host_slots_used{slot="wake"}')).toBe(1);
  await becomes('slow', 'running');
  found = await samples();
  expect(found.has('dormouse_host_operations{kind="boot",phase="boot",status="active"}')).toBe(false);
});

test('an operation that fails is counted as failed', async () => {
  failing = 'capture';
  await fixture.client.command('slow', 'save', { reason: 'test', force: true });
  await becomes('slow', 'save-failed');
  failing = null;
  expect((await samples()).get('dormouse_operations_total{kind="save",outcome="failed"}')).toBe(1);
});

test('nothing but the metrics is served', async () => {
  const root = new URL('/', worker.metricsUrl).href;
  expect((await fetch(root)).status).toBe(404);
  expect((await fetch(worker.metricsUrl, { method: 'POST' })).status).toBe(404);
  expect(new URL(root).hostname).toBe('127.0.0.1');
});

test('a second worker of the host has a port of its own; one that was told a port that is taken does not start', async () => {
  const second = await start();
  expect(second.metricsUrl).not.toBe(worker.metricsUrl);
  await second.stop();
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const { port } = taken.address() as { port: number };
  await expect(start({ METRICS_PORT: String(port) })).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    details: { variables: ['METRICS_HOST', 'METRICS_PORT'] },
  });
  taken.close();
});

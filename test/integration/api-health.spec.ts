import { errorCodes } from '@dormouse/errors';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiFixture, launchSpec, problemOf } from './api-fixture';
import { eventually } from './jobs-fixture';

jest.setTimeout(60_000);

let fixture: ApiFixture;

beforeAll(async () => {
  fixture = await ApiFixture.start();
});
afterAll(() => fixture.stop());

interface Ready {
  readonly status: number;
  readonly body: { readonly status: string; readonly checks: Readonly<Record<string, { readonly state: string }>> };
}

async function ready(): Promise<Ready> {
  const response = await fetch(`${fixture.api.url}/readyz`);
  return { status: response.status, body: (await response.json()) as Ready['body'] };
}

/** The first answer that finds this service down: one is good for a moment, so the very first may still be from before. */
async function readyWithout(service: 'postgres' | 'redis'): Promise<Ready> {
  let answer = await ready();
  await eventually(async () => {
    answer = await ready();
    return answer.body.checks[service]?.state === 'down';
  });
  return answer;
}

test('an api with its services is alive and ready', async () => {
  expect(await (await fetch(`${fixture.api.url}/healthz`)).json()).toEqual({ status: 'alive' });
  await eventually(async () => (await ready()).body.checks['hosts']?.state === 'down');
  expect(await ready()).toMatchObject({
    status: 200, // webhooks are taken without a host, and hosts are started after the api
    body: {
      status: 'ready',
      checks: { postgres: { state: 'up' }, redis: { state: 'up' }, storage: { state: 'degraded' } },
    },
  });
});

test('what a host has found is told in /readyz, in the metrics and to those who may look at hosts', async () => {
  const trouble = {
    part: 'storage',
    code: 'STORAGE_FAILED',
    message: 'the storage in /srv/checkpoints does not answer',
    since: '2030-01-02T03:04:05.000Z',
  } as const;
  await fixture.ledger.announceHost({ id: 'host-1', capabilities: {}, troubles: [trouble] });
  await eventually(async () => (await ready()).body.checks['storage']?.state === 'down');
  const { status, body } = await ready();
  expect(status).toBe(200);
  expect(body).toMatchObject({ status: 'ready', checks: { hosts: { state: 'up' } } });
  expect(JSON.stringify(body)).not.toContain('/srv/checkpoints');
  expect(await (await fetch(`${fixture.api.url}/metrics`)).text()).toMatch(/^dormouse_check\{check="storage",.*\} 0$/m);
  expect(await fixture.client.hosts()).toMatchObject([{ id: 'host-1', troubles: [trouble] }]);

  await fixture.announceHost();
  await eventually(async () => (await ready()).body.checks['storage']?.state === 'up');
});

test('every answer carries a request id: the one that was sent when it is harmless, else a new one', async () => {
  const idFor = async (sent?: string) =>
    (await fetch(`${fixture.api.url}/healthz`, { headers: sent ? { 'x-request-id': sent } : {} })).headers.get(
      'x-request-id',
    );
  expect(await idFor('trace-1.2:3')).toBe('trace-1.2:3');
  expect(await idFor('two words')).toMatch(/^[0-9a-f-]{36}$/);
  expect(await idFor()).not.toBe(await idFor());
});

test('the description names every route, and every problem code', async () => {
  const document = (await (await fetch(`${fixture.api.url}/openapi.json`)).json()) as {
    paths: Record<string, object>;
    components: { schemas: Record<string, { properties: Record<string, { enum?: string[] }> }> };
  };
  const routes = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method} ${path}`),
  );
  expect(routes.sort()).toEqual([
    'delete /v1/api-keys/{id}',
    'delete /v1/desktops/{id}',
    'delete /v1/desktops/{id}/checkpoints/{checkpointId}/pin',
    'delete /v1/desktops/{id}/hold',
    'get /healthz',
    'get /metrics',
    'get /readyz',
    'get /v1/api-keys',
    'get /v1/audit',
    'get /v1/audit/export',
    'get /v1/brokers',
    'get /v1/desktops',
    'get /v1/desktops/{id}',
    'get /v1/desktops/{id}/checkpoints',
    'get /v1/desktops/{id}/explain',
    'get /v1/desktops/{id}/operations',
    'get /v1/hosts',
    'get /v1/keys',
    'get /v1/operations/{id}',
    'get /v1/pools/{id}',
    'post /v1/audit/prune',
    'post /v1/brokers/{source}/retire',
    'post /v1/desktops/{id}/consent',
    'post /v1/desktops/{id}/prewarm',
    'post /v1/desktops/{id}/restore',
    'post /v1/desktops/{id}/save',
    'post /v1/desktops/{id}/start',
    'post /v1/desktops/{id}/stop',
    'post /v1/events/rehearse',
    'post /v1/hosts/{id}/cordon',
    'post /v1/hosts/{id}/drain',
    'post /v1/hosts/{id}/fence',
    'post /v1/hosts/{id}/uncordon',
    'post /v1/keys/rotate',
    'post /v1/operations/{id}/cancel',
    'post /v1/webhooks',
    'post /v1/webhooks/{shape}',
    'put /v1/api-keys/{id}',
    'put /v1/desktops/{id}',
    'put /v1/desktops/{id}/broker',
    'put /v1/desktops/{id}/checkpoints/{checkpointId}/pin',
    'put /v1/desktops/{id}/hold',
    'put /v1/pools/{id}',
  ]);
  expect(document.components.schemas['Problem']!.properties['code']!.enum).toEqual(Object.keys(errorCodes));
  const page = await fetch(`${fixture.api.url}/docs`);
  expect(page.headers.get('content-type')).toContain('text/html');
});

test('metrics are there for Prometheus', async () => {
  const response = await fetch(`${fixture.api.url}/metrics`);
  expect(response.headers.get('content-type')).toContain('text/plain');
  expect(await response.text()).toMatch(/^dormouse_outbox_lag_seconds\{service="api"\} \d/m);
});

test('a Postgres that takes no changes is told', async () => {
  const readOnly = (value: string) =>
    fixture.dataSource
      .query(`ALTER SYSTEM SET default_transaction_read_only = ${value}`)
      .then(() => fixture.dataSource.query('SELECT pg_reload_conf()'));
  await readOnly('on');
  try {
    await eventually(async () => (await ready()).status === 503);
    expect((await ready()).body).toMatchObject({
      checks: { postgres: { state: 'down', reason: expect.stringContaining('takes no changes') } },
    });
  } finally {
    await readOnly('off');
  }
  await eventually(async () => (await ready()).status === 200);
});

test('however many ask the open routes, Postgres is asked a few times only', async () => {
  const asked = async (): Promise<number> => {
    const [row] = await fixture.dataSource.query(
      `SELECT sum(xact_commit)::int AS count FROM pg_stat_database WHERE datname = current_database()`,
    );
    return row.count as number;
  };
  const before = await asked();
  const begunMs = performance.now();
  await Promise.all(
    Array.from({ length: 300 }, (_, n) => fetch(`${fixture.api.url}/${n % 2 === 0 ? 'metrics' : 'readyz'}`)),
  );
  const looks = (performance.now() - begunMs) / 100 + 1;
  await sleep(1_200); // Postgres writes its figures down once a second
  expect((await asked()) - before).toBeLessThan(3 * looks + 60); // three statements a look, and what the api does by itself
});

describe('without Redis', () => {
  beforeAll(async () => {
    await fixture.running('desk-1');
    await fixture.registered('desk-2');
    await fixture.redis.stop();
  });

  test('the api says so, and that it is alive all the same', async () => {
    expect(await readyWithout('redis')).toMatchObject({
      status: 503,
      body: { status: 'not ready', checks: { postgres: { state: 'up' } } },
    });
    expect((await fetch(`${fixture.api.url}/healthz`)).status).toBe(200);
  });

  test('webhooks are still stored and answered at once', async () => {
    const data = { desktopId: 'desk-1', connectionId: 'c-1' };
    const begin = performance.now();
    expect(await fixture.sendEvent({ type: 'vdc.session.connected', data })).toMatchObject({ outcome: 'applied' });
    expect(
      await fixture.sendEvent({ type: 'vdc.session.disconnected', data: { ...data, reason: 'user' } }),
    ).toMatchObject({
      desktop: { machineState: 'grace' },
    });
    const boots = { type: 'vdc.session.connect_requested', data: { desktopId: 'desk-2' } } as const;
    expect(await fixture.sendEvent(boots)).toMatchObject({ desktop: { machineState: 'booting' } });
    expect(performance.now() - begin).toBeLessThan(2_000);
    const waiting = await fixture.dataSource.query<unknown[]>(
      'SELECT 1 FROM outbox WHERE dispatched_at IS NULL AND wait_until <= now()',
    );
    expect(waiting).toHaveLength(1);
    expect(await (await fetch(`${fixture.api.url}/metrics`)).text()).toMatch(
      /dormouse_outbox_lag_seconds\{service="api"\} 0\.|dormouse_outbox_lag_seconds\{service="api"\} [1-9]/,
    );
  });
});

describe('without Postgres', () => {
  beforeAll(async () => {
    await fixture.dataSource.destroy();
    await fixture.postgres.stop();
  });

  test('the api says so', async () => {
    const answer = await readyWithout('postgres');
    expect(answer).toMatchObject({ status: 503, body: { status: 'not ready', checks: { hosts: { state: 'down' } } } });
  });

  test('a request is answered with a problem that tells nothing of the inside', async () => {
    const problem = await problemOf(await fixture.fetch('/v1/desktops/desk-1'), 'SERVICE_UNAVAILABLE', 503);
    expect(problem.detail).toContain('Postgres does not answer');
    expect(Object.keys(problem).sort()).toEqual(['code', 'detail', 'instance', 'requestId', 'status', 'title', 'type']);
  });

  test('a refusal stays a refusal although its audit line cannot be written', async () => {
    const response = await fixture.fetch('/v1/desktops/desk-1', {
      method: 'PUT',
      body: { launchSpec },
      headers: { authorization: 'Bearer wrong' },
    });
    await problemOf(response, 'UNAUTHENTICATED', 401);
  });
});

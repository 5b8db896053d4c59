import { stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { dataPaths, readApiAddress } from '@dormouse/config';
import type { DesktopView, OperationView, Page } from '@dormouse/views';
import { ApiFixture, launchSpec, problemOf } from './api-fixture';

jest.setTimeout(60_000);

let fixture: ApiFixture;

beforeAll(async () => {
  fixture = await ApiFixture.start();
});
afterAll(() => fixture.stop());

const reason = 'a test';

async function auditOf(act: () => Promise<unknown>) {
  const before = (await fixture.audit()).length;
  await act();
  return (await fixture.audit()).slice(before);
}

describe('the admin key', () => {
  test('is made on the first start, in a file that only its owner reads', async () => {
    const { adminKeyFile, webhookSecretFile } = dataPaths(fixture.directory);
    for (const file of [adminKeyFile, webhookSecretFile]) expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  test.each([
    ['none', { authorization: '' }],
    ['a wrong one', { authorization: 'Bearer dm_wrong-key-wrong-key-wrong-key' }],
    ['the beginning of it', { authorization: 'Bearer dm_' }],
    ['one of another scheme', { authorization: 'Basic YWRtaW46YWRtaW4=' }],
  ])('%s: 401, and nothing is stored but the audit line', async (_, headers) => {
    const stored = await fixture.stored();
    const lines = await auditOf(async () => {
      const response = await fixture.fetch('/v1/desktops/desk-0', { method: 'PUT', body: { launchSpec }, headers });
      await problemOf(response, 'UNAUTHENTICATED', 401);
      expect(response.headers.get('www-authenticate')).toBe('Bearer');
    });
    expect(lines).toEqual([
      expect.objectContaining({
        actor: 'anonymous',
        action: 'authenticate',
        target: 'desk-0',
        outcome: 'UNAUTHENTICATED',
      }),
    ]);
    expect(await fixture.stored()).toEqual(stored);
  });

  test.each([
    ['GET', '/v1/desktops'],
    ['GET', '/v1/desktops/desk-1'],
    ['DELETE', '/v1/desktops/desk-1'],
    ['POST', '/v1/desktops/desk-1/save'],
    ['GET', '/v1/desktops/desk-1/operations'],
    ['GET', '/v1/operations/7e58a8a5-8b9f-4a2e-9d0e-2f4d2a3b1c00'],
    ['GET', '/v1/pools/default'],
    ['PUT', '/v1/pools/default'],
    ['GET', '/v1/hosts'],
  ])('is asked for by %s %s', async (method, path) => {
    await problemOf(await fixture.fetch(path, { method, headers: { authorization: '' } }), 'UNAUTHENTICATED', 401);
  });
});

describe('registering a desktop', () => {
  beforeEach(() => fixture.announceHost());

  test('is answered 201 once the host has found its launch spec good, and 200 when it is repeated', async () => {
    const examined = fixture.work('desk-new', {
      status: 'succeeded',
      desktop: { fingerprint: { machine: 'pc-q35-7.2' } },
    });
    const put = () => fixture.fetch('/v1/desktops/desk-new', { method: 'PUT', body: { launchSpec } });
    const first = await put();
    await examined;
    expect(first.status).toBe(201);
    expect(await first.json()).toMatchObject({ id: 'desk-new', poolId: 'default', state: 'off', hostId: 'host-1' });

    const lines = await auditOf(async () => {
      const second = await put();
      expect(second.status).toBe(200);
      expect(await second.json()).toMatchObject({ id: 'desk-new', state: 'off' });
    });
    expect(lines).toEqual([]);
  });

  test('that the host finds impossible to save is refused with the reason, and the desktop is not kept', async () => {
    const error = { code: 'DESKTOP_NOT_MIGRATABLE', message: '0000:00:04.0/ivshmem: blocked', details: {} } as const;
    const examined = fixture.work('desk-bad', { status: 'failed', error });
    const response = await fixture.fetch('/v1/desktops/desk-bad', { method: 'PUT', body: { launchSpec } });
    const { id: operationId } = await examined;
    const problem = await problemOf(response, 'DESKTOP_NOT_MIGRATABLE', 422);
    expect(problem).toMatchObject({ detail: '0000:00:04.0/ivshmem: blocked', operationId });
    await problemOf(await fixture.fetch('/v1/desktops/desk-bad'), 'DESKTOP_UNKNOWN', 404);
    expect(await fixture.client.operation(operationId)).toMatchObject({ status: 'failed', error });
  });

  test.each([
    ['an unversioned machine type', { machine: 'q35' }, 'machine'],
    ['a CPU model that means another on each host', { cpuModel: 'host' }, 'cpuModel'],
    ['a field that nobody knows', { memoryGiB: 4 }, 'memoryGiB'],
    ['an image that is no path', { disks: [{ image: 'https://images/golden.qcow2' }] }, 'disks.0.image'],
  ])('with %s is refused, naming the field, and audited', async (_, change, field) => {
    const stored = await fixture.stored();
    const lines = await auditOf(async () => {
      const body = { launchSpec: { ...launchSpec, ...change } };
      const response = await fixture.fetch('/v1/desktops/desk-odd', { method: 'PUT', body });
      expect((await problemOf(response, 'LAUNCH_SPEC_INVALID', 422)).detail).toContain(field);
    });
    expect(lines).toMatchObject([{ actor: 'key:admin', action: 'desktop.register', target: 'desk-odd' }]);
    expect(await fixture.stored()).toEqual(stored);
  });

  test('in a pool that does not exist is refused', async () => {
    const response = await fixture.fetch('/v1/desktops/desk-2', {
      method: 'PUT',
      body: { launchSpec, poolId: 'none' },
    });
    await problemOf(response, 'POOL_UNKNOWN', 404);
  });

  test('two at once of the same id make one desktop', async () => {
    const examined = fixture.work('desk-twin', { status: 'succeeded', desktop: { fingerprint: {} } });
    const put = () => fixture.fetch('/v1/desktops/desk-twin', { method: 'PUT', body: { launchSpec } });
    const answers = await Promise.all([put(), put()]);
    await examined;
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 201]);
  });
});

describe('a request that is not valid is refused with what is wrong', () => {
  const uuid = '7e58a8a5-8b9f-4a2e-9d0e-2f4d2a3b1c00';
  test.each([
    ['PUT', '/v1/desktops/_desk', { launchSpec }, 'REQUEST_INVALID', 400],
    ['PUT', '/v1/desktops/desk-1', {}, 'REQUEST_INVALID', 400],
    ['PUT', '/v1/desktops/desk-1', { launchSpec: [] }, 'REQUEST_INVALID', 400],
    ['PUT', '/v1/desktops/desk-1', { launchSpec, owner: 'me' }, 'REQUEST_INVALID', 400],
    ['PUT', '/v1/desktops/desk-1', '{"launchSpec":', 'REQUEST_INVALID', 400],
    ['PUT', '/v1/desktops/desk-1', '{"launchSpec":{"a":"\\u0000"}}', 'REQUEST_INVALID', 400],
    ['POST', '/v1/desktops/desk-1/save', undefined, 'REQUEST_INVALID', 400],
    ['POST', '/v1/desktops/desk-1/save', {}, 'REQUEST_INVALID', 400],
    ['POST', '/v1/desktops/desk-1/save', { reason: '' }, 'REQUEST_INVALID', 400],
    ['POST', '/v1/desktops/desk-1/save', { reason: 'a\nb' }, 'REQUEST_INVALID', 400],
    ['POST', '/v1/desktops/desk-1/save', { reason, force: 'yes' }, 'REQUEST_INVALID', 400],
    ['POST', '/v1/desktops/desk-1/start', { reason, force: true }, 'REQUEST_INVALID', 400],
    ['PUT', '/v1/pools/default', { policy: { graceMs: -1, keepCheckpoints: 2 } }, 'REQUEST_INVALID', 400],
    ['GET', '/v1/desktops?limit=0', undefined, 'REQUEST_INVALID', 400],
    ['GET', '/v1/desktops?limit=many', undefined, 'REQUEST_INVALID', 400],
    ['GET', '/v1/desktops?cursor=..', undefined, 'REQUEST_INVALID', 400],
    ['GET', '/v1/desktops/none', undefined, 'DESKTOP_UNKNOWN', 404],
    ['POST', '/v1/desktops/none/save', { reason }, 'DESKTOP_UNKNOWN', 404],
    ['DELETE', '/v1/desktops/none', undefined, 'DESKTOP_UNKNOWN', 404],
    ['GET', '/v1/pools/none', undefined, 'POOL_UNKNOWN', 404],
    ['GET', `/v1/operations/${uuid}`, undefined, 'OPERATION_UNKNOWN', 404],
    ['GET', '/v1/operations/7', undefined, 'OPERATION_UNKNOWN', 404],
    ['GET', '/v1/nothing', undefined, 'ROUTE_UNKNOWN', 404],
    ['PATCH', '/v1/desktops/desk-1', {}, 'ROUTE_UNKNOWN', 404],
    ['GET', '/v1/desktops/%E0%A4%A', undefined, 'REQUEST_INVALID', 400],
  ] as const)('%s %s %j: %s', async (method, path, body, code, status) => {
    await problemOf(await fixture.fetch(path, { method, body }), code, status);
  });
});

test('a desktop is booted, and every step is in its operations and in the audit log with who and why', async () => {
  const lines = await auditOf(async () => {
    await fixture.registered('desk-boot');
    const response = await fixture.fetch('/v1/desktops/desk-boot/start', { method: 'POST', body: { reason } });
    expect(response.status).toBe(202);
    const operation = (await response.json()) as OperationView;
    expect(operation).toMatchObject({ kind: 'boot', status: 'pending', reason, requestedBy: 'key:admin' });
    const location = response.headers.get('location')!;
    expect(await (await fixture.fetch(location)).json()).toMatchObject({ id: operation.id });
    await fixture.work('desk-boot', { status: 'succeeded', result: {} });
  });
  expect(await fixture.client.desktop('desk-boot')).toMatchObject({ state: 'running', operation: null });
  expect((await fixture.client.operationsOf('desk-boot')).map(({ kind, status }) => [kind, status])).toEqual([
    ['boot', 'succeeded'],
    ['register', 'succeeded'],
  ]);
  expect(lines).toMatchObject([
    { actor: 'key:admin', action: 'desktop.register', target: 'desk-boot', outcome: 'accepted' },
    { actor: 'key:admin', action: 'desktop.boot', target: 'desk-boot', reason, outcome: 'applied' },
  ]);
});

test('a save while a user is connected is refused, once in the audit log, and the desktop runs on', async () => {
  await fixture.running('desk-busy');
  await fixture.sendEvent({ type: 'vdc.session.connected', data: { desktopId: 'desk-busy', connectionId: 'c-1' } });
  const lines = await auditOf(async () => {
    const response = await fixture.fetch('/v1/desktops/desk-busy/save', { method: 'POST', body: { reason } });
    await problemOf(response, 'USER_PRESENT', 409);
  });
  expect(lines).toMatchObject([{ action: 'desktop.save', target: 'desk-busy', reason, outcome: 'USER_PRESENT' }]);
  expect(await fixture.client.desktop('desk-busy')).toMatchObject({ state: 'running', operation: null });
});

test('a save that is forced happens although a user is connected', async () => {
  await fixture.running('desk-forced');
  await fixture.sendEvent({ type: 'vdc.session.connected', data: { desktopId: 'desk-forced', connectionId: 'c-1' } });
  const operation = await fixture.client.command('desk-forced', 'save', { reason: 'shutdown', force: true });
  expect(operation).toMatchObject({ kind: 'save', reason: 'shutdown' });
});

test('a running desktop is not deleted; one that is off is, and both are audited', async () => {
  await fixture.running('desk-gone');
  const lines = await auditOf(async () => {
    await problemOf(await fixture.fetch('/v1/desktops/desk-gone', { method: 'DELETE' }), 'DESKTOP_BUSY', 409);
    await fixture.client.command('desk-gone', 'stop', { reason });
    await fixture.work('desk-gone', { status: 'succeeded', result: {} });
    expect((await fixture.fetch('/v1/desktops/desk-gone', { method: 'DELETE' })).status).toBe(204);
  });
  expect(lines).toMatchObject([
    { action: 'desktop.delete', outcome: 'DESKTOP_BUSY' },
    { action: 'desktop.stop', outcome: 'applied' },
    { action: 'desktop.delete', outcome: 'accepted' },
  ]);
  await problemOf(await fixture.fetch('/v1/desktops/desk-gone'), 'DESKTOP_UNKNOWN', 404);
});

test('a list is read page by page, each desktop once', async () => {
  for (const id of ['page-a', 'page-b', 'page-c']) await fixture.registered(id);
  const seen: string[] = [];
  let cursor: string | null = null;
  do {
    const query: string = cursor === null ? 'limit=2' : `limit=2&cursor=${cursor}`;
    const page = (await (await fixture.fetch(`/v1/desktops?${query}`)).json()) as Page<DesktopView>;
    expect(page.items.length).toBeLessThanOrEqual(2);
    seen.push(...page.items.map(({ id }) => id));
    cursor = page.nextCursor;
  } while (cursor !== null);
  expect(seen).toEqual([...new Set(seen)].sort());
  expect(seen).toEqual(expect.arrayContaining(['page-a', 'page-b', 'page-c']));
});

test('a pool is made, changed and shown, and each change is audited', async () => {
  const lines = await auditOf(async () => {
    await fixture.client.putPool('night', { graceMs: 1_000, keepCheckpoints: 1 });
    await fixture.client.putPool('night', { graceMs: 2_000, keepCheckpoints: 3 });
  });
  expect((await fixture.client.pool('night')).policy).toEqual({ graceMs: 2_000, keepCheckpoints: 3 });
  expect(lines.map(({ action, target, outcome }) => [action, target, outcome])).toEqual([
    ['pool.put', 'night', 'accepted'],
    ['pool.put', 'night', 'accepted'],
  ]);
});

test('hosts are listed with whether they are heard from', async () => {
  await fixture.announceHost();
  expect(await fixture.client.hosts()).toMatchObject([{ id: 'host-1', alive: true }]);
});

test('the audit log takes lines and gives none up', async () => {
  for (const change of ['DELETE FROM audit_log', "UPDATE audit_log SET actor = 'nobody'", 'TRUNCATE audit_log']) {
    await expect(fixture.dataSource.query(change)).rejects.toThrow(/append/i);
  }
});

test('the address of the api is in the data directory', async () => {
  expect(await readApiAddress(fixture.directory)).toEqual({ url: fixture.api.url, pid: process.pid });
});

test('a broker that sends heartbeats no more is shown, in the list of brokers and in the metrics', async () => {
  const brokers = async () => (await (await fixture.fetch('/v1/brokers')).json()) as { items: object[] };
  const silent = async () =>
    /^dormouse_silent_brokers(?:\{.*\})? (\d+)/m.exec(await (await fetch(`${fixture.api.url}/metrics`)).text())?.[1];
  await fixture.sendEvent({ type: 'vdc.broker.heartbeat', source: 'heart', data: { intervalSeconds: 10 } });
  expect((await brokers()).items).toEqual([
    { id: 'heart', intervalSeconds: 10, heardAt: expect.any(String) as unknown, silentSince: null },
  ]);
  expect(await silent()).toBe('0');
  await fixture.dataSource.query(`UPDATE brokers SET heard_at = now() - interval '31 seconds' WHERE id = 'heart'`);
  await fixture.ledger.watchBrokers();
  expect((await brokers()).items).toMatchObject([{ id: 'heart', silentSince: expect.any(String) as unknown }]);
  while ((await silent()) !== '1') await sleep(20); // the metrics are looked at once for all who ask within a moment
});

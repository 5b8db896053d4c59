import type { ApiScope, AuditView, Page } from '@dormouse/views';
import { ApiClient } from '@dormouse/api-client';
import { ApiFixture, launchSpec, problemOf } from './api-fixture';

jest.setTimeout(60_000);

const reason = 'a test';
let fixture: ApiFixture;
const keys = new Map<string, string>();

beforeAll(async () => {
  fixture = await ApiFixture.start();
  for (const pool of ['red', 'blue']) await fixture.client.putPool(pool, { graceMs: 60_000, keepCheckpoints: 2 });
  for (const scope of ['viewer', 'operator', 'admin'] as const) {
    await makeKey(`all-${scope}`, { scope });
    await makeKey(`red-${scope}`, { scope, pools: ['red'] });
  }
  await registered('red-1', 'red');
  await registered('blue-1', 'blue');
});
afterAll(() => fixture.stop());

async function makeKey(name: string, wanted: { scope: ApiScope; pools?: string[]; expiresInDays?: number }) {
  const { key } = await fixture.client.createApiKey(name, { ...wanted, reason });
  keys.set(name, key);
  return key;
}

async function registered(id: string, poolId: string): Promise<void> {
  await fixture.announceHost();
  const examined = fixture.work(id, { status: 'succeeded', desktop: { fingerprint: {} } });
  await fixture.client.putDesktop(id, { poolId, launchSpec });
  await examined;
}

function ask(name: string, method: string, path: string, body?: unknown): Promise<Response> {
  return fixture.fetch(path, { method, body, headers: { authorization: `Bearer ${keys.get(name)}` } });
}

const newest = async () => (await fixture.audit()).at(-1);

test('what happened to an earlier desktop of an id stays with the pool in which it happened', async () => {
  const operationsFor = async (name: string): Promise<{ id: string }[]> =>
    ((await (await ask(name, 'GET', '/v1/desktops/wandering/operations')).json()) as { items: { id: string }[] }).items;
  await registered('wandering', 'blue');
  const [ofBlue] = await operationsFor('all-viewer');
  await fixture.client.deleteDesktop('wandering', reason);
  await registered('wandering', 'red');
  expect(await operationsFor('all-viewer')).toHaveLength(2);
  expect(await operationsFor('red-viewer')).toHaveLength(1);
  expect(await operationsFor('red-viewer')).not.toContainEqual(expect.objectContaining({ id: ofBlue!.id }));
  await problemOf(await ask('red-viewer', 'GET', `/v1/operations/${ofBlue!.id}`), 'FORBIDDEN', 403);
  await fixture.client.deleteDesktop('wandering', reason);
});

describe('a key', () => {
  test('is shown once, and of it only its hash is kept', async () => {
    const key = await makeKey('once', { scope: 'viewer' });
    expect(key).toMatch(/^dm_[\w-]{43}$/);
    const stored = await fixture.dataSource.query(
      'SELECT api_keys::text AS row FROM api_keys UNION SELECT details::text FROM audit_log',
    );
    expect(stored.length).toBeGreaterThan(1);
    expect(stored.filter(({ row }: { row: string }) => row.includes(key))).toEqual([]);
    expect(JSON.stringify(await fixture.client.apiKeys())).not.toContain(key);
  });

  test('has a name that is never given again, not even when it is revoked', async () => {
    await makeKey('short-lived', { scope: 'viewer' });
    const again = { scope: 'viewer', reason };
    await problemOf(
      await fixture.fetch('/v1/api-keys/short-lived', { method: 'PUT', body: again }),
      'API_KEY_EXISTS',
      409,
    );
    await fixture.client.revokeApiKey('short-lived', reason);
    await problemOf(
      await fixture.fetch('/v1/api-keys/short-lived', { method: 'PUT', body: again }),
      'API_KEY_EXISTS',
      409,
    );
  });

  test('made twice at the same moment is one key', async () => {
    const make = () => fixture.fetch('/v1/api-keys/twin', { method: 'PUT', body: { scope: 'viewer', reason } });
    const answers = await Promise.all([make(), make(), make()]);
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409]);
  });

  test('that is revoked lets nobody in from that moment on, and says why', async () => {
    await makeKey('leaked', { scope: 'admin' });
    expect((await ask('leaked', 'GET', '/v1/hosts')).status).toBe(200);
    expect(await fixture.client.revokeApiKey('leaked', 'seen in a chat')).toMatchObject({
      name: 'leaked',
      state: 'revoked',
      revokedBy: 'key:admin',
    });
    const { detail } = await problemOf(await ask('leaked', 'GET', '/v1/hosts'), 'UNAUTHENTICATED', 401);
    expect(detail).toMatch(/^the key leaked was revoked on \d{4}-/);
    await fixture.client.revokeApiKey('leaked', 'once more');
    expect((await fixture.audit()).slice(-3)).toMatchObject([
      { action: 'api-key.revoke', target: 'leaked', reason: 'seen in a chat', outcome: 'applied' },
      { actor: 'anonymous', action: 'authenticate', outcome: 'UNAUTHENTICATED' },
      { action: 'api-key.revoke', target: 'leaked', outcome: 'ignored' },
    ]);
  });

  test('that has expired lets nobody in, and says why', async () => {
    await makeKey('old', { scope: 'viewer', expiresInDays: 1 });
    await fixture.dataSource.query("UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE name = 'old'");
    const { detail } = await problemOf(await ask('old', 'GET', '/v1/hosts'), 'UNAUTHENTICATED', 401);
    expect(detail).toMatch(/^the key old has expired on /);
  });

  test('is listed with who made it and when it was last used', async () => {
    await makeKey('idle', { scope: 'operator', pools: ['red', 'blue'] });
    await makeKey('busy', { scope: 'viewer' });
    await ask('busy', 'GET', '/v1/hosts');
    const listed = new Map((await fixture.client.apiKeys()).map((key) => [key.name, key]));
    expect(listed.get('idle')).toMatchObject({ pools: ['red', 'blue'], state: 'valid', lastUsedAt: null });
    expect(listed.get('busy')).toMatchObject({ scope: 'viewer', pools: null, createdBy: 'key:admin' });
    expect(listed.get('busy')!.lastUsedAt).toMatch(/^\d{4}-/);
  });

  test.each([
    ['/v1/api-keys/no-scope', { reason }, 'REQUEST_INVALID', 400],
    ['/v1/api-keys/no-reason', { scope: 'viewer' }, 'REQUEST_INVALID', 400],
    ['/v1/api-keys/root', { scope: 'root', reason }, 'REQUEST_INVALID', 400],
    ['/v1/api-keys/forever', { scope: 'viewer', reason, expiresInDays: 10_000 }, 'REQUEST_INVALID', 400],
    ['/v1/api-keys/nowhere', { scope: 'viewer', reason, pools: [] }, 'REQUEST_INVALID', 400],
    ['/v1/api-keys/lost', { scope: 'viewer', reason, pools: ['green'] }, 'POOL_UNKNOWN', 404],
    ['/v1/api-keys/admin', { scope: 'viewer', reason }, 'REQUEST_INVALID', 400],
    ['/v1/api-keys/Ada', { scope: 'viewer', reason }, 'REQUEST_INVALID', 400],
  ])('%s %j is refused: %s', async (path, body, code, status) => {
    const before = (await fixture.client.apiKeys()).length;
    await problemOf(await fixture.fetch(path, { method: 'PUT', body }), code, status);
    expect(await newest()).toMatchObject({ action: 'api-key.create', outcome: code });
    expect(await fixture.client.apiKeys()).toHaveLength(before);
  });
});

/** Every route: the least scope that is let in, and whether a key limited to the right pool is. */
const uuid = '7e58a8a5-8b9f-4a2e-9d0e-2f4d2a3b1c00';
const routes: readonly [method: string, path: string, least: ApiScope, limited: boolean][] = [
  ['GET', '/v1/desktops', 'viewer', true],
  ['GET', '/v1/desktops/red-1', 'viewer', true],
  ['GET', '/v1/desktops/red-1/operations', 'viewer', true],
  ['GET', '/v1/desktops/red-1/checkpoints', 'viewer', true],
  ['GET', `/v1/operations/${uuid}`, 'viewer', false],
  ['GET', '/v1/pools/red', 'viewer', true],
  ['GET', '/v1/hosts', 'viewer', true],
  ['GET', '/v1/brokers', 'viewer', true],
  ['POST', '/v1/brokers/some/retire', 'admin', false],
  ['POST', '/v1/hosts/host-1/cordon', 'operator', false],
  ['POST', '/v1/hosts/host-1/uncordon', 'operator', false],
  ['POST', '/v1/hosts/host-1/drain', 'operator', false],
  ['POST', '/v1/hosts/host-1/fence', 'admin', false],
  ['POST', '/v1/desktops/red-1/start', 'operator', true],
  ['POST', '/v1/desktops/red-1/save', 'operator', true],
  ['POST', '/v1/desktops/red-1/restore', 'operator', true],
  ['POST', '/v1/desktops/red-1/stop', 'operator', true],
  ['GET', '/v1/desktops/red-1/explain', 'viewer', true],
  ['POST', '/v1/desktops/red-1/prewarm', 'operator', true],
  ['PUT', '/v1/desktops/red-1/hold', 'operator', true],
  ['DELETE', '/v1/desktops/red-1/hold', 'operator', true],
  ['PUT', '/v1/desktops/red-1/broker', 'operator', true],
  ['POST', `/v1/operations/${uuid}/cancel`, 'operator', false],
  ['POST', '/v1/events/rehearse', 'operator', false],
  ['PUT', `/v1/desktops/red-1/checkpoints/${uuid}/pin`, 'operator', true],
  ['DELETE', `/v1/desktops/red-1/checkpoints/${uuid}/pin`, 'operator', true],
  ['POST', '/v1/desktops/red-1/consent', 'admin', true],
  ['PUT', '/v1/desktops/red-1', 'admin', true],
  ['DELETE', '/v1/desktops/red-1', 'admin', true],
  ['PUT', '/v1/pools/red', 'admin', true],
  ['GET', '/v1/keys', 'admin', false],
  ['POST', '/v1/keys/rotate', 'admin', false],
  ['GET', '/v1/api-keys', 'admin', false],
  ['PUT', '/v1/api-keys/some', 'admin', false],
  ['DELETE', '/v1/api-keys/some', 'admin', false],
  ['GET', '/v1/audit', 'admin', false],
  ['GET', '/v1/audit/export', 'admin', false],
  ['POST', '/v1/audit/prune', 'admin', false],
];

describe('what a scope allows', () => {
  /** Bodies are refused as soon as somebody is let in: only who is let in is asked here. */
  const isLetIn = async (name: string, method: string, path: string) => {
    const response = await ask(
      name,
      method,
      path,
      method === 'PUT' || method === 'POST' ? { nonsense: true } : undefined,
    );
    expect(response.status).not.toBe(401);
    if (response.status === 403) await problemOf(response, 'FORBIDDEN', 403);
    return response.status !== 403;
  };

  test.each(routes)('%s %s: %s and above', async (method, path, least, limited) => {
    const order: ApiScope[] = ['viewer', 'operator', 'admin'];
    for (const scope of order) {
      if (method === 'DELETE' && path === '/v1/desktops/red-1' && scope === 'admin') continue; // it would be gone
      const enough = order.indexOf(scope) >= order.indexOf(least);
      expect([scope, await isLetIn(`all-${scope}`, method, path)]).toEqual([scope, enough]);
      expect([scope, await isLetIn(`red-${scope}`, method, path)]).toEqual([scope, enough && limited]);
    }
  });

  test('is asked of every route that is not open to everybody', async () => {
    const { paths } = (await (await fixture.fetch('/openapi.json')).json()) as { paths: Record<string, object> };
    const open = ['/v1/webhooks', '/v1/webhooks/{shape}', '/healthz', '/readyz', '/metrics'];
    const described = Object.entries(paths)
      .filter(([path]) => !open.includes(path))
      .flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`));
    const asked = routes.map(
      ([method, path]) =>
        `${method} ${path
          .replace(/(checkpoints)\/[^/]+/, '$1/{checkpointId}')
          .replace(/(v1\/brokers)\/[^/]+/, '$1/{source}')
          .replace(/(v1\/(?:desktops|operations|pools|hosts|api-keys))\/[^/]+/, '$1/{id}')}`,
    );
    expect(described.sort()).toEqual(asked.sort());
  });

  test('a change that the scope does not allow is refused, and in the audit log with who and why', async () => {
    const before = await fixture.stored();
    await problemOf(await ask('all-viewer', 'POST', '/v1/desktops/red-1/start', { reason }), 'FORBIDDEN', 403);
    expect(await newest()).toMatchObject({
      actor: 'key:all-viewer',
      action: 'desktop.boot',
      target: 'red-1',
      reason,
      outcome: 'FORBIDDEN',
    });
    expect(await fixture.stored()).toEqual(before);
  });
});

describe('a key for one pool', () => {
  test('lists the desktops of this pool and no others', async () => {
    const { items } = (await (await ask('red-viewer', 'GET', '/v1/desktops')).json()) as Page<{ id: string }>;
    expect(items.map(({ id }) => id)).toEqual(['red-1']);
  });

  test('is refused a desktop of another pool as it is one that does not exist', async () => {
    const foreign = await problemOf(
      await ask('red-operator', 'POST', '/v1/desktops/blue-1/start', { reason }),
      'FORBIDDEN',
      403,
    );
    const nowhere = await problemOf(
      await ask('red-operator', 'POST', '/v1/desktops/gone-1/start', { reason }),
      'FORBIDDEN',
      403,
    );
    expect(foreign.detail.replace('blue-1', 'X')).toBe(nowhere.detail.replace('gone-1', 'X'));
    await problemOf(await ask('red-viewer', 'GET', '/v1/pools/blue'), 'FORBIDDEN', 403);
  });

  test('shows the operations of its own desktops only', async () => {
    const [own] = await fixture.client.operationsOf('red-1');
    const [foreign] = await fixture.client.operationsOf('blue-1');
    expect((await ask('red-viewer', 'GET', `/v1/operations/${own!.id}`)).status).toBe(200);
    await problemOf(await ask('red-viewer', 'GET', `/v1/operations/${foreign!.id}`), 'FORBIDDEN', 403);
  });

  test('neither registers a desktop in another pool nor moves one there', async () => {
    for (const id of ['red-1', 'new-1', 'blue-1']) {
      const body = { poolId: 'blue', launchSpec };
      await problemOf(await ask('red-admin', 'PUT', `/v1/desktops/${id}`, body), 'FORBIDDEN', 403);
    }
    await problemOf(
      await ask('red-admin', 'PUT', '/v1/desktops/blue-1', { poolId: 'red', launchSpec }),
      'FORBIDDEN',
      403,
    );
    expect(await fixture.client.desktop('blue-1')).toMatchObject({ poolId: 'blue' });
    expect(await fixture.client.desktop('red-1')).toMatchObject({ poolId: 'red' });
  });

  test('acts on the desktops of its pool, under its own name', async () => {
    const response = await ask('red-operator', 'POST', '/v1/desktops/red-1/start', { reason });
    expect(response.status).toBe(202);
    const { id } = (await response.json()) as { id: string };
    expect(await newest()).toMatchObject({
      actor: 'key:red-operator',
      action: 'desktop.boot',
      outcome: 'applied',
      details: { operationId: id },
    });
  });
});

describe('the audit log', () => {
  const page = async (query: string) => (await (await fixture.fetch(`/v1/audit?${query}`)).json()) as Page<AuditView>;

  test('is read newest first, page by page, each line once, while lines are added', async () => {
    const all = await fixture.rows('audit_log');
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const { items, nextCursor }: Page<AuditView> = await page(`limit=7${cursor === null ? '' : `&cursor=${cursor}`}`);
      seen.push(...items.map(({ id }) => id));
      cursor = nextCursor;
      await fixture.ledger.recordAudit({ actor: 'test', action: 'noise', target: 'x', outcome: 'applied' });
    } while (cursor !== null);
    expect(seen).toHaveLength(all);
    expect(seen).toEqual([...new Set(seen)].sort((one, other) => Number(other) - Number(one)));
  });

  test('can be narrowed by who, what and to what', async () => {
    await fixture.client.putPool('audited', { graceMs: 1_000, keepCheckpoints: 1 });
    const { items } = await page('actor=key:admin&action=pool.put&target=audited');
    expect(items).toEqual([expect.objectContaining({ target: 'audited', outcome: 'accepted' })]);
    expect((await page('actor=key:nobody')).items).toEqual([]);
  });

  test('tells why a desktop was registered and deleted, when it was said', async () => {
    await fixture.announceHost();
    const examined = fixture.work('leaver', { status: 'succeeded', desktop: { fingerprint: {} } });
    await fixture.fetch('/v1/desktops/leaver', { method: 'PUT', body: { launchSpec, reason: 'joins' } });
    await examined;
    await fixture.client.deleteDesktop('leaver', 'leaves');
    const { items } = await page('target=leaver');
    expect(items.map(({ action, reason: why }) => [action, why])).toEqual([
      ['desktop.delete', 'leaves'],
      ['desktop.register', 'joins'],
    ]);
  });

  test('takes no change, from a session that says it replicates neither', async () => {
    const runner = fixture.dataSource.createQueryRunner();
    try {
      await runner.query("SET session_replication_role = 'replica'");
      await expect(runner.query('DELETE FROM audit_log')).rejects.toThrow(/append/i);
    } finally {
      await runner.query('RESET session_replication_role');
      await runner.release();
    }
  });

  test('a cursor that is none is refused', async () => {
    await problemOf(await fixture.fetch('/v1/audit?cursor=now'), 'REQUEST_INVALID', 400);
  });
});

test('the key of the configuration is in no table, and works when all others are gone', async () => {
  expect((await fixture.client.apiKeys()).map(({ name }) => name)).not.toContain('admin');
  const client = new ApiClient({ url: fixture.api.url, adminKey: fixture.keys.adminKey });
  expect(await client.hosts()).toHaveLength(1);
});

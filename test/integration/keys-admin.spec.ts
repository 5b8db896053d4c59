import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { dataPaths } from '@dormouse/config';
import { KeyRing, openKeyProvider } from '@dormouse/keys';
import { LedgerKeys } from '@dormouse/ledger';
import type { KeyRotationView, KeyView, Page } from '@dormouse/views';
import { VaultServer } from '../contract/vault-server';
import { ApiFixture, problemOf } from './api-fixture';

jest.setTimeout(60_000);

const reason = 'a test';
let fixture: ApiFixture;
let ring: KeyRing;

beforeAll(async () => {
  fixture = await ApiFixture.start();
  for (const id of ['desk-1', 'desk-2', 'desk-3']) await fixture.registered(id);
  ring = await ringOf(fixture);
  await ring.contentKey();
});
afterAll(() => fixture.stop());

/** As a worker on the same host has it. */
async function ringOf({ directory, dataSource }: ApiFixture): Promise<KeyRing> {
  const keyUrl = `file://${dataPaths(directory).masterKeyFile}`;
  return new KeyRing(
    await openKeyProvider({ keyUrl, vaultToken: null }, () => Promise.resolve(true)),
    new LedgerKeys(dataSource),
  );
}

function dormouse(args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const main = join(__dirname, '../../dist/apps/cli/main.js');
  const env = { PATH: process.env['PATH'], DATA_DIR: fixture.directory };
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], { env }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

const lines = (text: string) => text.trimEnd().split('\n');

async function keys(): Promise<KeyView[]> {
  const all: KeyView[] = [];
  for await (const key of fixture.client.keys()) all.push(key);
  return all;
}

async function kekIds(): Promise<string[]> {
  const { keys: kept } = JSON.parse(await readFile(dataPaths(fixture.directory).masterKeyFile, 'utf8')) as {
    keys: { id: string }[];
  };
  return kept.map(({ id }) => id);
}

test('the api makes the key file at its start', async () => {
  expect(await kekIds()).toHaveLength(1);
});

test('keys are listed page by page with what wraps them, and nothing of a key', async () => {
  const secrets = [(await ring.contentKey()).toString('base64')];
  for (const id of ['desk-1', 'desk-2']) secrets.push((await ring.desktopKey(id)).key.toString('base64'));
  const first = (await (await fixture.fetch('/v1/keys?limit=2')).json()) as Page<KeyView>;
  expect(first.items.map(({ scope }) => scope)).toEqual(['content', 'desktop/desk-1']);
  const cursor = encodeURIComponent(first.nextCursor!);
  const second = (await (await fixture.fetch(`/v1/keys?limit=2&cursor=${cursor}`)).json()) as Page<KeyView>;
  expect(second).toMatchObject({ items: [{ scope: 'desktop/desk-2' }], nextCursor: null });
  const [kekId] = await kekIds();
  for (const key of [...first.items, ...second.items]) {
    expect(key).toEqual({
      scope: key.scope,
      keyId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      kekId,
      createdAt: expect.stringMatching(/^\d{4}-/),
      wrappedAt: key.createdAt,
    });
  }
  expect(secrets.filter((secret) => JSON.stringify([first, second]).includes(secret))).toEqual([]);
});

test('a rotation adds a key-encryption key, wraps every key with it, and is audited with who and why', async () => {
  const before = await ring.desktopKey('desk-1');
  const response = await fixture.fetch('/v1/keys/rotate', { method: 'POST', body: { reason } });
  expect(response.status).toBe(200);
  const done = (await response.json()) as KeyRotationView;
  const [, newest, ...none] = await kekIds();
  expect(none).toEqual([]);
  expect(done).toEqual({ kekId: newest, rewrapped: (await keys()).length, remaining: 0, rejected: [] });
  expect(new Set((await keys()).map(({ kekId }) => kekId))).toEqual(new Set([newest]));
  expect(await (await ringOf(fixture)).existingDesktopKey('desk-1')).toEqual(before);
  expect((await fixture.audit()).at(-1)).toMatchObject({
    actor: 'key:admin',
    action: 'keys.rotate',
    target: 'keys',
    reason,
    outcome: 'accepted',
    details: { rewrapOnly: false },
  });
});

test('wrapping alone adds no key-encryption key', async () => {
  const before = await kekIds();
  expect(await fixture.client.rotateKeys({ reason, rewrapOnly: true })).toMatchObject({ rewrapped: 0, remaining: 0 });
  expect(await kekIds()).toEqual(before);
});

test.each([
  ['GET', '/v1/keys', undefined, { authorization: '' }, 'UNAUTHENTICATED', 401],
  ['POST', '/v1/keys/rotate', { reason }, { authorization: '' }, 'UNAUTHENTICATED', 401],
  ['POST', '/v1/keys/rotate', {}, {}, 'REQUEST_INVALID', 400],
  ['POST', '/v1/keys/rotate', { reason, rewrapOnly: 'yes' }, {}, 'REQUEST_INVALID', 400],
  ['GET', '/v1/keys?cursor=..', undefined, {}, 'REQUEST_INVALID', 400],
])('%s %s %j with %j is refused: %s', async (method, path, body, headers, code, status) => {
  const before = await kekIds();
  await problemOf(await fixture.fetch(path, { method, body, headers }), code, status);
  expect(await kekIds()).toEqual(before);
});

test('both calls are in the description of the API', async () => {
  const { paths } = (await (await fixture.fetch('/openapi.json')).json()) as { paths: Record<string, object> };
  expect(Object.keys(paths['/v1/keys']!)).toEqual(['get']);
  expect(Object.keys(paths['/v1/keys/rotate']!)).toEqual(['post']);
});

test('a key file that was opened to others stops a rotation, and the refusal is audited', async () => {
  const { masterKeyFile } = dataPaths(fixture.directory);
  await chmod(masterKeyFile, 0o644);
  try {
    const response = await fixture.fetch('/v1/keys/rotate', { method: 'POST', body: { reason } });
    expect((await problemOf(response, 'KEY_UNAVAILABLE', 503)).detail).toContain('chmod 600');
  } finally {
    await chmod(masterKeyFile, 0o600);
  }
  expect((await fixture.audit()).at(-1)).toMatchObject({ action: 'keys.rotate', outcome: 'KEY_UNAVAILABLE' });
});

describe('the command', () => {
  test('lists keys as a table for people and as JSON for scripts', async () => {
    const [head, ...rows] = lines((await dormouse(['keys', 'data'])).stdout);
    expect(head).toMatch(/^SCOPE +KEY +AGE +WRAPPED BY +SINCE$/);
    expect(rows).toHaveLength((await keys()).length);
    expect(rows[0]).toMatch(/^content +[0-9a-f-]{36} +\d+ \w+ +[0-9a-f-]{36} +\d+ \w+$/);
    expect(JSON.parse((await dormouse(['--json', 'keys', 'data'])).stdout)).toEqual(await keys());
  });

  test('rotates, and says how many keys are wrapped with which one', async () => {
    const { code, stdout } = await dormouse(['keys', 'rotate', '--reason', 'monthly']);
    expect(code).toBe(0);
    expect(lines(stdout)).toEqual([
      `${(await keys()).length} keys wrapped with ${(await kekIds()).at(-1)}; checkpoints were not touched`,
    ]);
    expect((await fixture.audit()).at(-1)).toMatchObject({ action: 'keys.rotate', reason: 'monthly' });
  });

  test('finishes what was interrupted without a new key-encryption key', async () => {
    await ring.addKek();
    const before = await kekIds();
    const { stdout } = await dormouse(['--json', 'keys', 'rotate', '--rewrap-only']);
    expect(JSON.parse(stdout)).toMatchObject({ kekId: before.at(-1), rewrapped: (await keys()).length, remaining: 0 });
    expect(await kekIds()).toEqual(before);
  });

  test('names a key that cannot be unwrapped, and ends with an error', async () => {
    await ring.desktopKey('desk-3');
    const damage = 'UPDATE data_keys SET wrapped = $1 WHERE desktop_id = $2';
    await fixture.dataSource.query(damage, [randomBytes(60), 'desk-3']);
    const { code, stdout, stderr } = await dormouse(['keys', 'rotate']);
    expect(code).toBe(1);
    expect(lines(stdout)).toEqual([
      `${(await keys()).length - 1} keys wrapped with ${(await kekIds()).at(-1)}; checkpoints were not touched`,
      expect.stringMatching(/^desktop\/desk-3 stays as it was: /),
    ]);
    expect(stderr).toMatch(/^dormouse: 1 key could not be unwrapped[^\n]*\(KEY_REJECTED\)\n$/);
    await fixture.dataSource.query("DELETE FROM data_keys WHERE desktop_id = 'desk-3'");
  });
});

test('with a Vault, the key is rotated there, and the api wraps everything with it', async () => {
  const vault = await VaultServer.start();
  const other = await ApiFixture.start({ KEY_URL: vault.keyUrl, VAULT_TOKEN: vault.token });
  try {
    const store = new LedgerKeys(other.dataSource);
    const provider = await openKeyProvider({ keyUrl: vault.keyUrl, vaultToken: vault.token }, () =>
      Promise.resolve(true),
    );
    const content = await new KeyRing(provider, store).contentKey();
    vault.rotate();
    expect(await other.client.rotateKeys({ reason })).toEqual({
      kekId: 'vault:team/transit/dormouse:v2',
      rewrapped: 1,
      remaining: 0,
      rejected: [],
    });
    expect(await new KeyRing(provider, store).contentKey()).toEqual(content);
    await vault.stop();
    await expect(other.client.rotateKeys({ reason })).rejects.toMatchObject({ code: 'KEY_UNAVAILABLE' });
  } finally {
    await vault.stop();
    await other.stop();
  }
});

import { mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dataPaths } from './data-directory';
import { loadKeys } from './keys';
import { loadConfig } from './load-config';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-keys-'));
});
afterEach(() => rm(directory, { recursive: true }));

const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;

test('keys are made once, for their owner only, and read again afterwards', async () => {
  const config = loadConfig({ DATA_DIR: directory });
  const first = await loadKeys(config);
  expect(await loadKeys(config)).toEqual(first);
  const { keysDir, adminKeyFile } = dataPaths(directory);
  expect((await stat(adminKeyFile)).mode & 0o777).toBe(0o600);
  expect((await stat(keysDir)).mode & 0o777).toBe(0o700);
  expect((await readFile(adminKeyFile, 'utf8')).trim()).toBe(first.adminKey);
});

test('processes that start at once get the same keys, and no draft is left behind', async () => {
  const config = loadConfig({ DATA_DIR: directory });
  const all = await Promise.all(Array.from({ length: 10 }, () => loadKeys(config)));
  expect(new Set(all.map((keys) => JSON.stringify(keys))).size).toBe(1);
  expect((await readdir(dataPaths(directory).keysDir)).sort()).toEqual(['admin.key', 'webhook.secret']);
});

test('a made webhook secret is one that the configuration would accept', async () => {
  const { webhookSecrets } = await loadKeys(loadConfig({ DATA_DIR: directory }));
  expect(loadConfig({ WEBHOOK_SECRETS: webhookSecrets[0] }).webhookSecrets).toEqual(webhookSecrets);
});

test('configured keys are used and none is made', async () => {
  const config = loadConfig({ DATA_DIR: directory, ADMIN_KEY: 'a-key-of-the-user', WEBHOOK_SECRETS: secret });
  expect(await loadKeys(config)).toEqual({
    adminKey: 'a-key-of-the-user',
    webhookSecrets: [secret],
    brokerSecrets: [],
  });
  expect(await readdir(directory)).toEqual([]);
});

test.each([
  ['adminKeyFile', ''],
  ['adminKeyFile', ' \n'],
  ['adminKeyFile', 'dm_short'],
  ['webhookSecretFile', ''],
  ['webhookSecretFile', 'whsec_'],
  ['webhookSecretFile', secret.slice(0, 20)],
] as const)('a key file %s of %j is no key: the start says so, and keeps the file', async (name, content) => {
  const config = loadConfig({ DATA_DIR: directory });
  await loadKeys(config);
  const file = dataPaths(directory)[name];
  await writeFile(file, content);
  await expect(loadKeys(config)).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringContaining(file),
  });
  expect(await readFile(file, 'utf8')).toBe(content);
});

test('beside a file of secrets no secret is made, and none that was made is believed', async () => {
  const file = join(directory, 'secrets');
  await writeFile(file, `/eu=${secret}\n`);
  const { webhookSecrets } = await loadKeys(loadConfig({ DATA_DIR: directory, WEBHOOK_SECRETS_FILE: file }));
  expect(webhookSecrets).toEqual([]);
});

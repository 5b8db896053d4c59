import { once } from 'node:events';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { dataPaths } from '@dormouse/config';
import { KeyRing, openKeyProvider, type KeyProviderSettings } from '@dormouse/keys';
import { LedgerKeys } from '@dormouse/ledger';
import { VaultServer } from '../contract/vault-server';
import { ApiFixture } from '../integration/api-fixture';
import { startWorkerBeside } from '../integration/worker-beside';

jest.setTimeout(60_000);

let fixture: ApiFixture;

beforeAll(async () => {
  fixture = await ApiFixture.start();
});
afterAll(() => fixture.stop());
afterEach(() => fixture.dataSource.query('DELETE FROM data_keys'));

/** The deployment has its content key from this provider. */
async function contentKeyFrom(settings: KeyProviderSettings): Promise<void> {
  await new KeyRing(
    await openKeyProvider(settings, () => Promise.resolve(true)),
    new LedgerKeys(fixture.dataSource),
  ).contentKey();
}

const startWorker = (environment: NodeJS.ProcessEnv) => startWorkerBeside(fixture, environment);

test('a worker with another key file than the deployment says so, and does not start', async () => {
  await mkdir(dataPaths(fixture.directory).keysDir, { recursive: true });
  await contentKeyFrom({ keyUrl: `file://${dataPaths(fixture.directory).masterKeyFile}`, vaultToken: null });
  const { keysDir, masterKeyFile } = dataPaths(join(fixture.directory, 'worker'));
  await mkdir(keysDir, { recursive: true });
  await openKeyProvider({ keyUrl: `file://${masterKeyFile}`, vaultToken: null }, () => Promise.resolve(true));
  const { child, lines, said } = startWorker({});
  lines.resume();
  expect(await once(child, 'close')).toEqual([1, null]);
  expect(said).toEqual([
    expect.stringMatching(/^worker: the key of content cannot be unwrapped: .*worker\/keys\/master\.json/),
  ]);
});

test('a worker whose KEY_URL names another directory makes no key there, and says so', async () => {
  await mkdir(dataPaths(fixture.directory).keysDir, { recursive: true });
  await contentKeyFrom({ keyUrl: `file://${dataPaths(fixture.directory).masterKeyFile}`, vaultToken: null });
  const mistaken = join(fixture.directory, 'postgres');
  const { child, lines, said } = startWorker({ KEY_URL: `file://${mistaken}/master.json` });
  lines.resume();
  expect(await once(child, 'close')).toEqual([1, null]);
  expect(said).toEqual([
    expect.stringMatching(/^worker: there is no key file .*postgres\/master\.json, .*Correct KEY_URL/),
  ]);
  expect((await readdir(mistaken)).filter((name) => name.startsWith('master'))).toEqual([]);
});

test('a worker whose Vault does not answer says that nothing can be saved or woken, and works otherwise', async () => {
  const vault = await VaultServer.start();
  const { keyUrl, token, port } = vault;
  await contentKeyFrom({ keyUrl, vaultToken: token });
  await vault.stop();
  const { child, lines } = startWorker({ KEY_URL: keyUrl, VAULT_TOKEN: token });
  const messages: string[] = [];
  for await (const line of lines) {
    const { msg } = JSON.parse(line) as { msg: string };
    messages.push(msg);
    expect(line).not.toContain(token);
    if (msg === 'the worker takes jobs') child.kill('SIGTERM');
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  const news = `no desktop can be saved or woken yet: the Vault at http://127.0.0.1:${port} does not answer`;
  expect(messages).toContainEqual(expect.stringContaining(news));
  expect(messages).toContain('the worker takes jobs');
});

import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { VaultTransit } from '../../libs/keys/vault-transit';
import { VaultServer } from './vault-server';

const key = randomBytes(32);
const purpose = 'desktop/ada';
let vault: VaultServer;

beforeEach(async () => {
  vault = await VaultServer.start();
});
afterEach(() => vault.stop());

function open({ token = vault.token, keyName = 'dormouse', mount = 'team/transit', answerMs = 10_000 } = {}) {
  const origin = `http://127.0.0.1:${vault.port}`;
  return new VaultTransit({ origin, mount, keyName, token, patience: { answerMs, pauseMs: 1 } });
}

const sealed = { status: 503, body: '{"errors":["Vault is sealed"]}' };

test('asks for nothing but encrypt and decrypt of its key', async () => {
  const provider = open();
  await provider.unwrap(await provider.wrap(key, purpose), purpose);
  await provider.currentKek();
  expect(new Set(vault.requests)).toEqual(
    new Set(['POST /v1/team/transit/encrypt/dormouse', 'POST /v1/team/transit/decrypt/dormouse']),
  );
});

test('the id of a key-encryption key names mount, key and version', async () => {
  vault.rotate();
  expect((await open().wrap(key, purpose)).kekId).toBe('vault:team/transit/dormouse:v2');
});

test('a Vault that is sealed for a moment is asked again', async () => {
  const provider = open();
  vault.troubles.push(sealed, { status: 429, body: '' });
  expect(await provider.unwrap(await provider.wrap(key, purpose), purpose)).toEqual(key);
});

test('one that stays sealed is asked three times, and its own words are told', async () => {
  vault.troubles.push(sealed, sealed, sealed, sealed);
  await expect(open().wrap(key, purpose)).rejects.toMatchObject({
    code: 'KEY_UNAVAILABLE',
    message: expect.stringMatching(/Vault is sealed/),
  });
  expect(vault.requests).toHaveLength(3);
});

test('one that never answers is given up', async () => {
  vault.troubles.push('never', 'never', 'never');
  const refusal = open({ answerMs: 50 }).wrap(key, purpose);
  await expect(refusal).rejects.toMatchObject({
    code: 'KEY_UNAVAILABLE',
    message: expect.stringMatching(/does not answer/),
  });
});

test('one that is not there is told by its address', async () => {
  const provider = open();
  const { port } = vault;
  await vault.stop();
  const refusal = provider.unwrap(
    { kekId: 'vault:team/transit/dormouse:v1', wrapped: Buffer.from('vault:v1:AAAA') },
    purpose,
  );
  await expect(refusal).rejects.toMatchObject({
    code: 'KEY_UNAVAILABLE',
    message: expect.stringContaining(`:${port}`),
  });
});

test.each([
  ['a wrong token', { token: 'hvs.other' }, /VAULT_TOKEN/],
  ['a wrong mount', { mount: 'transit' }, /KEY_URL/],
])('%s is not tried again, and the message says what to check', async (_, wrong, advice) => {
  const refusal = open(wrong).wrap(key, purpose);
  await expect(refusal).rejects.toMatchObject({ code: 'KEY_UNAVAILABLE', message: expect.stringMatching(advice) });
  await expect(refusal).rejects.toMatchObject({ message: expect.not.stringContaining('hvs.') });
  expect(vault.requests).toHaveLength(1);
});

test('a key that Vault does not have is told in its words', async () => {
  const refusal = open({ keyName: 'other' }).wrap(key, purpose);
  await expect(refusal).rejects.toMatchObject({
    code: 'KEY_UNAVAILABLE',
    message: expect.stringMatching(/encryption key not found/),
  });
});

test('a Vault that ignores associated data is refused before anything wrapped by it is used', async () => {
  vault.ignoresAssociatedData = true;
  await expect(open().wrap(key, purpose)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
});

test.each([
  ['no JSON', 'hello'],
  ['nothing', ''],
  ['null', 'null'],
  ['no ciphertext', '{"data":{}}'],
  ['a ciphertext of another kind', '{"data":{"ciphertext":"AAAA"}}'],
  ['a ciphertext without end', JSON.stringify({ data: { ciphertext: `vault:v1:${'A'.repeat(4096)}` } })],
  ['an answer without end', JSON.stringify({ data: { padding: 'A'.repeat(1024 * 1024) } })],
])('an answer that holds %s is an error, and never a wrapped key', async (_, body) => {
  vault.troubles.push({ status: 200, body }, { status: 200, body }, { status: 200, body });
  await expect(open().wrap(key, purpose)).rejects.toMatchObject({ code: 'KEY_UNAVAILABLE' });
});

test('an answer to decrypt that is no key is refused', async () => {
  const provider = open();
  const wrapped = await provider.wrap(key, purpose);
  for (const plaintext of ['', 'AAAA', 7, null]) {
    vault.troubles.push({ status: 200, body: JSON.stringify({ data: { plaintext } }) });
    await expect(provider.unwrap(wrapped, purpose)).rejects.toMatchObject({ code: 'KEY_REJECTED' });
  }
});

test('the token is not carried to another address', async () => {
  const elsewhere = await VaultServer.start();
  const location = `http://127.0.0.1:${elsewhere.port}/v1/team/transit/encrypt/dormouse`;
  const redirecting = createServer((_, response) => response.writeHead(307, { location }).end());
  await new Promise<void>((resolve) => redirecting.listen(0, '127.0.0.1', resolve));
  const { port } = redirecting.address() as { port: number };
  const provider = new VaultTransit({
    origin: `http://127.0.0.1:${port}`,
    mount: 'team/transit',
    keyName: 'dormouse',
    token: 'hvs.secret',
  });
  await expect(provider.wrap(key, purpose)).rejects.toMatchObject({
    code: 'KEY_UNAVAILABLE',
    message: expect.stringMatching(/307/),
  });
  expect(elsewhere.requests).toEqual([]);
  redirecting.closeAllConnections();
  redirecting.close();
  await elsewhere.stop();
});

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openKeyProvider, type KeyProvider } from '@dormouse/keys';
import { VaultServer } from './vault-server';

let directory: string;
let vault: VaultServer;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-keys-'));
  vault = await VaultServer.start();
});
afterAll(async () => {
  await vault.stop();
  await rm(directory, { recursive: true });
});

/** How each kind is opened, by one process or by another, and how it gets a new key-encryption key. */
const adapters = {
  'a key file': {
    open: () =>
      openKeyProvider({ keyUrl: `file://${directory}/master.json`, vaultToken: null }, () => Promise.resolve(true)),
    rotate: (provider: KeyProvider) => provider.addKek(),
  },
  'a Vault': {
    open: () => openKeyProvider({ keyUrl: vault.keyUrl, vaultToken: vault.token }, () => Promise.resolve(true)),
    rotate: async () => vault.rotate(),
  },
};

describe.each(Object.entries(adapters))('%s', (_, { open, rotate }) => {
  const key = randomBytes(32);
  const purpose = 'desktop/ada';
  let provider: KeyProvider;
  beforeAll(async () => {
    provider = await open();
  });

  test('unwraps what it has wrapped, also when it is opened anew', async () => {
    const wrapped = await provider.wrap(key, purpose);
    expect(await provider.unwrap(wrapped, purpose)).toEqual(key);
    expect(await (await open()).unwrap(wrapped, purpose)).toEqual(key);
  });

  test('shows nothing of the key in the wrapped one, and wraps it differently each time', async () => {
    const [one, other] = [await provider.wrap(key, purpose), await provider.wrap(key, purpose)];
    expect(one.wrapped).not.toEqual(other.wrapped);
    expect(one.wrapped.includes(key)).toBe(false);
    expect(one.wrapped.includes(key.toString('base64'))).toBe(false);
  });

  test('does not unwrap the key of one desktop for another', async () => {
    const wrapped = await provider.wrap(key, purpose);
    for (const wrong of ['desktop/bob', 'desktop/ad', 'desktop/adaa', 'content', '']) {
      await expect(provider.unwrap(wrapped, wrong)).rejects.toMatchObject({ code: 'KEY_REJECTED' });
    }
  });

  test('does not unwrap what has one bit flipped, is cut or is longer, and quotes no key', async () => {
    const { kekId, wrapped } = await provider.wrap(key, purpose);
    const damaged = [Buffer.alloc(0), wrapped.subarray(1), wrapped.subarray(0, -1), Buffer.concat([wrapped, wrapped])];
    for (let at = 0; at < wrapped.length; at += 7) {
      const flipped = Buffer.from(wrapped);
      flipped[at]! ^= 1;
      damaged.push(flipped);
    }
    for (const one of damaged) {
      const refusal = provider.unwrap({ kekId, wrapped: one }, purpose);
      await expect(refusal).rejects.toMatchObject({ code: 'KEY_REJECTED', details: { purpose } });
    }
  });

  test('says so when the key-encryption key is not one of its own', async () => {
    const { wrapped } = await provider.wrap(key, purpose);
    const refusal = provider.unwrap({ kekId: 'someone-else', wrapped }, purpose);
    await expect(refusal).rejects.toMatchObject({
      code: 'KEY_REJECTED',
      message: expect.stringMatching(/someone-else/),
    });
  });

  test('wraps with a new key-encryption key after a rotation, and unwraps what older ones wrapped', async () => {
    const running = await open();
    const before = await provider.wrap(key, purpose);
    expect(before.kekId).toBe(await provider.currentKek());
    await rotate(provider);
    for (const one of [provider, running]) {
      const after = await one.wrap(key, purpose);
      expect(after.kekId).toBe(await provider.currentKek());
      expect(after.kekId).not.toBe(before.kekId);
      expect(await one.unwrap(before, purpose)).toEqual(key);
      expect(await one.unwrap(after, purpose)).toEqual(key);
    }
  });
});
